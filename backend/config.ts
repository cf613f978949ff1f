/** The backend's configuration: the only place that reads its flags and environment. */
import { hostname } from 'node:os'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isBackendName, TunnelKey, tunnelKeyRequirement } from '../shared/auth/tunnel-key.ts'
import { ConfigError } from '../shared/config-error.ts'
import type { FlagValues } from '../shared/flags.ts'
import { parseByteSize } from './byte-size.ts'
import { readConversionFlags, type ConversionFlags } from './conversion/conversion-flags.ts'
import type { CacheWishes } from './engine/cache-plan.ts'
import { cacheDtypes, type CacheDtype } from './graph/cache-dtype.ts'
import { FlagReader } from './read-flags.ts'
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
}

export type BackendConfig = ModelConfig & {
  /** Where to dial: `ws://` or `wss://`. */
  readonly gatewayUrl: string
  readonly credential: BackendCredential
  /** Null: the gateway is reached directly. */
  readonly proxy: ProxySettings | null
}

/** How the backend shows who it is. Never logged. */
export type BackendCredential =
  /** What the gateway's `backends enroll` printed. */
  | { readonly kind: 'enrolment'; readonly secret: string }
  | { readonly kind: 'tunnelKey'; readonly key: TunnelKey; readonly name: string }

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
  const gatewayUrl = reader.text('gateway') ?? ''
  if (gatewayUrl === '') {
    reader.problems.push(
      'the gateway is missing: give --gateway wss://HOST/tunnel or BURROW_GATEWAY',
    )
  }
  const credential = readCredential(flags, env, reader)
  const proxy = readProxySettings(env, reader.problems)
  const model = readModelConfig(reader)
  if (!credential || reader.problems.length > 0) throw new ConfigError(reader.problems)
  return { ...model, gatewayUrl, credential, proxy }
}

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
  return {
    maxModelLen: reader.count('max-model-len'),
    maxNumSeqs: reader.count('max-num-seqs'),
    maxNumBatchedTokens: reader.count('max-num-batched-tokens'),
    kvCacheMemory,
    kvCacheDtype: reader.choice('kv-cache-dtype', cacheDtypes) ?? 'float32',
  }
}

/** Whether the path looks like a model: a folder with config.json or GGUF, or a .gguf file. */
export const isModel = (path: string): boolean => {
  if (!existsSync(path)) return false
  if (!statSync(path).isDirectory()) return path.endsWith('.gguf')
  return readdirSync(path).some((name) => name === 'config.json' || name.endsWith('.gguf'))
}

/** A secret of the backend's own goes before the tunnel key. Null after a problem was told. */
const readCredential = (
  flags: FlagValues,
  env: FlagValues,
  reader: FlagReader,
): BackendCredential | null => {
  const secret = readSecret(flags, reader)
  if (secret) return { kind: 'enrolment', secret }
  const text = env['BURROW_TUNNEL_KEY']?.trim()
  if (!text || secret === '') {
    reader.problems.push(
      'the enrolment secret is missing: give --token-file FILE or BURROW_TOKEN ' +
        '(`burrow backends enroll --name NAME` on the gateway prints one), or BURROW_TUNNEL_KEY',
    )
    return null
  }
  const key = TunnelKey.parse(text)
  const name = reader.text('name') ?? hostname()
  if (!key) reader.problems.push(`BURROW_TUNNEL_KEY must have ${tunnelKeyRequirement}`)
  if (!isBackendName(name)) {
    reader.problems.push(
      'the name of a backend has 1 to 64 letters, digits, dots, hyphens and underscores: ' +
        `give another --name than "${name}"`,
    )
  }
  return key && { kind: 'tunnelKey', key, name }
}

/** A flag, even --token-file, wins over the variable. */
const readSecret = (flags: FlagValues, reader: FlagReader): string | undefined => {
  const file = reader.text('token-file')
  const isFromFile = file !== undefined && !flags.token
  return isFromFile ? readTokenFile(file, reader.problems) : reader.text('token')
}

const readTokenFile = (file: string, problems: string[]): string => {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    problems.push(
      `cannot read --token-file: ${error instanceof Error ? error.message : String(error)}`,
    )
    return '-'
  }
}
