/** The backend's configuration: the only place that reads its flags and environment. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../shared/config-error.ts'
import {
  defaultDrainSeconds,
  listItems,
  parseMetricsPort,
  type FlagValues,
} from '../shared/flags.ts'
import { limits } from '../shared/tunnel/limits.ts'
import { parseByteSize } from './byte-size.ts'
import { readConversionFlags, type ConversionFlags } from './conversion/conversion-flags.ts'
import type { CacheWishes } from './engine/cache-plan.ts'
import { cacheDtypes, type CacheDtype } from './graph/cache-dtype.ts'
import { readGatewayAccounts, type GatewayAccount } from './gateway-accounts.ts'
import { FlagReader } from './read-flags.ts'
import { parseExposedServices, type ExposedServices } from './services/exposed-services.ts'
import { readProxySettings, type ProxySettings } from './tunnel/proxy.ts'

export type ModelConfig = {
  /** The model folder, in Hugging Face's layout, or a .gguf file. */
  readonly modelFolder: string
  /** The name that clients use, and the only one they see. */
  readonly servedModelName: string
  /** Converted models are kept under it. */
  readonly home: string
  readonly engine: EngineConfig
  /** Whether the model can be converted so is known when its config is read. */
  readonly conversion: ConversionFlags
}

export type EngineConfig = CacheWishes & {
  /** Bytes that the KV cache may have; undefined: a quarter of the machine's memory. */
  readonly kvCacheMemory: number | undefined
  readonly kvCacheDtype: CacheDtype
  /** A step that takes longer is stuck; undefined: what is usual. */
  readonly stepTimeoutMs: number | undefined
}

export type BackendConfig = ModelConfig & {
  readonly gateways: readonly GatewayAccount[]
  /** HTTP services of this machine that visitors reach through the gateways. */
  readonly services: ExposedServices
  /** Null: the gateways are reached directly. */
  readonly proxy: ProxySettings | null
  /** To each gateway. */
  readonly tunnelConnections: number
  /** How much this backend can do beside others. */
  readonly weight: number
  /** Where metrics are fetched, on 127.0.0.1; undefined: nowhere. 0 takes any free port. */
  readonly metricsPort: number | undefined
  /** How long running requests may take when the backend is stopped. */
  readonly drainTimeoutMs: number
}

export const bundledModelFolder = fileURLToPath(new URL('./bundled-model', import.meta.url))
const bundledModelName = 'burrow-tiny'

/** What is served, and where conversions are kept. @throws ConfigError */
export const parseModelConfig = (flags: FlagValues, env: FlagValues): ModelConfig => {
  const reader = new FlagReader(flags, env)
  const config = readModelConfig(reader)
  if (reader.problems.length > 0) throw new ConfigError(reader.problems)
  return config
}

/** A flag wins over its environment variable. @throws ConfigError with all problems together */
export const parseBackendConfig = (flags: FlagValues, env: FlagValues): BackendConfig => {
  const reader = new FlagReader(flags, env)
  const gateways = readGatewayAccounts(flags, env, reader)
  const proxy = readProxySettings(env, reader.problems)
  const services = parseExposedServices(listItems(reader.text('expose')), reader.problems)
  const tunnelConnections = reader.count('tunnel-connections') ?? defaultTunnelConnections
  if (tunnelConnections > limits.connections) {
    reader.problems.push(`--tunnel-connections may be ${limits.connections} at most`)
  }
  const weight = readWeight(reader)
  const drainTimeoutMs = 1000 * (reader.count('drain-timeout') ?? defaultDrainSeconds)
  const metricsPort = parseMetricsPort(reader.text('metrics-port'), reader.problems)
  const model = readModelConfig(reader)
  if (reader.problems.length > 0) throw new ConfigError(reader.problems)
  const tunnel = { gateways, services, proxy, tunnelConnections }
  return { ...model, ...tunnel, weight, metricsPort, drainTimeoutMs }
}

/** One that stalls, or is lost, does not stop the other. */
const defaultTunnelConnections = 2

const readWeight = (reader: FlagReader): number => {
  const text = reader.text('weight') ?? '1'
  const weight = Number(text)
  if (!(weight > 0 && weight <= maxWeight)) {
    reader.problems.push(`--weight must be a number above 0, up to ${maxWeight}, not ${text}`)
  }
  return weight
}

const maxWeight = 1000

const readModelConfig = (reader: FlagReader): ModelConfig => {
  const { problems } = reader
  const model = reader.text('model')
  const modelFolder = model ? resolve(model) : bundledModelFolder
  if (!isModel(modelFolder)) {
    problems.push(
      `${modelFolder} is no model folder: it has no config.json (and is no .gguf file, nor holds one)`,
    )
  }
  const ownName =
    modelFolder === bundledModelFolder ? bundledModelName : basename(modelFolder, '.gguf')
  const servedModelName = reader.text('served-model-name') ?? ownName
  if (!/^[\x21-\x7e]{1,128}$/.test(servedModelName)) {
    problems.push(
      'the served model name must have 1 to 128 visible ASCII characters: give --served-model-name',
    )
  }
  return {
    modelFolder,
    servedModelName,
    home: resolve(reader.text('home') ?? '.burrow'),
    engine: readEngineConfig(reader),
    conversion: readConversionFlags(reader),
  }
}

const readEngineConfig = (reader: FlagReader): EngineConfig => {
  const memory = reader.text('kv-cache-memory')
  const kvCacheMemory = memory === undefined ? undefined : parseByteSize(memory)
  if (memory !== undefined && kvCacheMemory === undefined) {
    reader.problems.push(`--kv-cache-memory must be a size such as 512M or 4G, not ${memory}`)
  }
  const stepTimeoutSeconds = reader.count('step-timeout')
  return {
    maxModelLen: reader.count('max-model-len'),
    maxNumSeqs: reader.count('max-num-seqs'),
    maxNumBatchedTokens: reader.count('max-num-batched-tokens'),
    kvCacheMemory,
    kvCacheDtype: reader.choice('kv-cache-dtype', cacheDtypes) ?? 'float32',
    stepTimeoutMs: stepTimeoutSeconds === undefined ? undefined : stepTimeoutSeconds * 1000,
  }
}

/** Whether the path looks like a model: a folder with config.json or GGUF, or a .gguf file. */
export const isModel = (path: string): boolean => {
  if (!existsSync(path)) return false
  if (!statSync(path).isDirectory()) return path.endsWith('.gguf')
  return readdirSync(path).some((name) => name === 'config.json' || name.endsWith('.gguf'))
}
