/** The backend's configuration: the only place that reads its flags and environment. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../shared/config-error.ts'
import { readFlag, type FlagValues } from '../shared/flags.ts'
import { parseByteSize } from './byte-size.ts'
import type { CacheWishes } from './engine/cache-plan.ts'
import { backendFlags } from './flags.ts'
import { scalingTypes, type RopeOverride } from './checkpoint/rope-scaling.ts'
import { cacheDtypes, type CacheDtype } from './graph/cache-dtype.ts'
import type { ParallelSizes } from './graph/shard-plan.ts'

export type ModelConfig = {
  /** The model folder, in Hugging Face's layout, or a .gguf file. */
  readonly modelFolder: string
  /** The name that clients use, and the only one they see. */
  readonly servedModelName: string
  /** Converted models are kept under it. */
  readonly home: string
  readonly engine: EngineConfig
  /** Ranks that the model is split over; whether it can be is known when its config is read. */
  readonly parallel: ParallelSizes
  /** In place of the model's own rotary scaling. */
  readonly ropeOverride: RopeOverride | undefined
}

export type EngineConfig = CacheWishes & {
  /** Bytes that the KV cache may have; undefined: a quarter of the machine's memory. */
  readonly kvCacheMemory: number | undefined
  readonly kvCacheDtype: CacheDtype
}

export type BackendConfig = ModelConfig & {
  /** Where to dial: `ws://` or `wss://`. */
  readonly gatewayUrl: string
  /** The secret that the gateway's `backends enroll` printed. */
  readonly token: string
}

export const bundledModelFolder = fileURLToPath(new URL('./bundled-model', import.meta.url))
const bundledModelName = 'burrow-tiny'

/** What flag or variable gives for a name. */
type Given = (name: keyof typeof backendFlags) => string | undefined

const given =
  (flags: FlagValues, env: FlagValues): Given =>
  (name) =>
    readFlag(backendFlags, name, flags, env)

/** What is served, and where conversions are kept. @throws ConfigError */
export const parseModelConfig = (flags: FlagValues, env: FlagValues): ModelConfig => {
  const problems: string[] = []
  const config = readModelConfig(given(flags, env), problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** A flag wins over its environment variable. @throws ConfigError with all problems together */
export const parseBackendConfig = (flags: FlagValues, env: FlagValues): BackendConfig => {
  const problems: string[] = []
  const read = given(flags, env)
  const gatewayUrl = read('gateway') ?? ''
  if (gatewayUrl === '') {
    problems.push('the gateway is missing: give --gateway wss://HOST/tunnel or BURROW_GATEWAY')
  }
  const token = readToken(flags, read, problems)
  const model = readModelConfig(read, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return { ...model, gatewayUrl, token }
}

const readModelConfig = (read: Given, problems: string[]): ModelConfig => {
  const model = read('model')
  const modelFolder = model ? resolve(model) : bundledModelFolder
  if (!isModel(modelFolder)) {
    problems.push(
      `${modelFolder} is no model folder: it has no config.json (and is no .gguf file, nor holds one)`,
    )
  }
  const ownName =
    modelFolder === bundledModelFolder ? bundledModelName : basename(modelFolder, '.gguf')
  const servedModelName = read('served-model-name') ?? ownName
  if (!/^[\x21-\x7e]{1,128}$/.test(servedModelName)) {
    problems.push(
      'the served model name must have 1 to 128 visible ASCII characters: give --served-model-name',
    )
  }
  return {
    modelFolder,
    servedModelName,
    home: resolve(read('home') ?? '.burrow'),
    engine: readEngineConfig(read, problems),
    parallel: readParallelSizes(read, problems),
    ropeOverride: readRopeOverride(read, problems),
  }
}

type CountFlag = Extract<
  keyof typeof backendFlags,
  `max-${string}` | 'tensor-parallel-size' | 'pipeline-parallel-size'
>

/** A whole number from 1 on; undefined where it is left out. */
const readCount = (read: Given, name: CountFlag, problems: string[]): number | undefined => {
  const text = read(name)
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= 1 && value <= 2 ** 31) return value
  problems.push(`--${name} must be a whole number from 1 on, not ${text}`)
  return undefined
}

const readEngineConfig = (read: Given, problems: string[]): EngineConfig => {
  const memory = read('kv-cache-memory')
  const kvCacheMemory = memory === undefined ? undefined : parseByteSize(memory)
  if (memory !== undefined && kvCacheMemory === undefined) {
    problems.push(`--kv-cache-memory must be a size such as 512M or 4G, not ${memory}`)
  }
  return {
    maxModelLen: readCount(read, 'max-model-len', problems),
    maxNumSeqs: readCount(read, 'max-num-seqs', problems),
    maxNumBatchedTokens: readCount(read, 'max-num-batched-tokens', problems),
    kvCacheMemory,
    kvCacheDtype: readCacheDtype(read, problems),
  }
}

const readCacheDtype = (read: Given, problems: string[]): CacheDtype => {
  const name = read('kv-cache-dtype') ?? 'float32'
  const dtype = cacheDtypes.find((known) => known === name)
  if (dtype !== undefined) return dtype
  problems.push(`--kv-cache-dtype must be one of ${cacheDtypes.join(', ')}, not ${name}`)
  return 'float32'
}

const readParallelSizes = (read: Given, problems: string[]): ParallelSizes => ({
  tensorParallelSize: readCount(read, 'tensor-parallel-size', problems) ?? 1,
  pipelineParallelSize: readCount(read, 'pipeline-parallel-size', problems) ?? 1,
})

const readRopeOverride = (read: Given, problems: string[]): RopeOverride | undefined => {
  const name = read('rope-scaling')
  const factor = read('rope-factor')
  if (name === undefined && factor === undefined) return undefined
  const type = scalingTypes.find((known) => known === name)
  if (type && factor && Number(factor) >= 1) return { type, factor: Number(factor) }
  problems.push(
    `--rope-scaling must be one of ${scalingTypes.join(', ')}, and --rope-factor a number from 1 on: give both`,
  )
  return undefined
}

const isModel = (path: string): boolean => {
  if (!existsSync(path)) return false
  if (!statSync(path).isDirectory()) return path.endsWith('.gguf')
  return readdirSync(path).some((name) => name === 'config.json' || name.endsWith('.gguf'))
}

/** A flag, even --token-file, wins over the variable. */
const readToken = (flags: FlagValues, read: Given, problems: string[]): string => {
  const file = read('token-file')
  const isFromFile = file !== undefined && !flags.token
  const token = isFromFile ? readTokenFile(file, problems) : read('token')
  if (token === undefined || token === '') {
    problems.push(
      'the backend token is missing: give --token-file FILE or BURROW_TOKEN ' +
        '(`burrow backends enroll --name NAME` on the gateway prints one)',
    )
  }
  return token ?? ''
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
