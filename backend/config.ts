/** The backend's configuration: the only place that reads its flags and environment. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../shared/config-error.ts'
import { parseByteSize } from './byte-size.ts'
import type { CacheWishes } from './engine/cache-plan.ts'
import { scalingTypes, type RopeOverride } from './checkpoint/rope-scaling.ts'
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
}

export type BackendConfig = ModelConfig & {
  /** Where to dial: `ws://` or `wss://`. */
  readonly gatewayUrl: string
  /** The secret that the gateway's `backends enroll` printed. */
  readonly token: string
}

/** Command line values as given; undefined or empty where not given. */
export type BackendOptions = {
  readonly gateway?: string | undefined
  readonly token?: string | undefined
  readonly tokenFile?: string | undefined
  readonly model?: string | undefined
  readonly servedModelName?: string | undefined
  readonly home?: string | undefined
  readonly maxModelLen?: string | undefined
  readonly maxNumSeqs?: string | undefined
  readonly maxNumBatchedTokens?: string | undefined
  readonly kvCacheMemory?: string | undefined
  readonly tensorParallelSize?: string | undefined
  readonly pipelineParallelSize?: string | undefined
  readonly ropeScaling?: string | undefined
  readonly ropeFactor?: string | undefined
}

export const bundledModelFolder = fileURLToPath(new URL('./bundled-model', import.meta.url))
const bundledModelName = 'burrow-tiny'

type Environment = Readonly<Record<string, string | undefined>>

/** What is served, and where conversions are kept. @throws ConfigError */
export const parseModelConfig = (options: BackendOptions, env: Environment): ModelConfig => {
  const problems: string[] = []
  const config = readModelConfig(options, env, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** A flag wins over its environment variable. @throws ConfigError with all problems together */
export const parseBackendConfig = (options: BackendOptions, env: Environment): BackendConfig => {
  const problems: string[] = []
  const gatewayUrl = options.gateway || env.BURROW_GATEWAY || ''
  if (gatewayUrl === '') {
    problems.push('the gateway is missing: give --gateway wss://HOST/tunnel or BURROW_GATEWAY')
  }
  const token = readToken(options, env, problems)
  const model = readModelConfig(options, env, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return { ...model, gatewayUrl, token }
}

const readModelConfig = (
  options: BackendOptions,
  env: Environment,
  problems: string[],
): ModelConfig => {
  const model = options.model || env.BURROW_MODEL
  const modelFolder = model ? resolve(model) : bundledModelFolder
  if (!isModel(modelFolder)) {
    problems.push(
      `${modelFolder} is no model folder: it has no config.json (and is no .gguf file, nor holds one)`,
    )
  }
  const servedModelName =
    options.servedModelName ||
    env.BURROW_SERVED_MODEL_NAME ||
    (modelFolder === bundledModelFolder ? bundledModelName : basename(modelFolder, '.gguf'))
  if (!/^[\x21-\x7e]{1,128}$/.test(servedModelName)) {
    problems.push(
      'the served model name must have 1 to 128 visible ASCII characters: give --served-model-name',
    )
  }
  const home = resolve(options.home || env.BURROW_HOME || '.burrow')
  return {
    modelFolder,
    servedModelName,
    home,
    engine: readEngineConfig(options, env, problems),
    parallel: readParallelSizes(options, env, problems),
    ropeOverride: readRopeOverride(options, env, problems),
  }
}

const readEngineConfig = (
  options: BackendOptions,
  env: Environment,
  problems: string[],
): EngineConfig => {
  const count = (flag: string, text: string | undefined): number | undefined => {
    if (!text) return undefined
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= 1 && value <= 2 ** 31) return value
    problems.push(`${flag} must be a whole number from 1 on, not ${text}`)
    return undefined
  }
  const memory = options.kvCacheMemory || env.BURROW_KV_CACHE_MEMORY
  const kvCacheMemory = memory ? parseByteSize(memory) : undefined
  if (memory && kvCacheMemory === undefined) {
    problems.push(`--kv-cache-memory must be a size such as 512M or 4G, not ${memory}`)
  }
  return {
    maxModelLen: count('--max-model-len', options.maxModelLen || env.BURROW_MAX_MODEL_LEN),
    maxNumSeqs: count('--max-num-seqs', options.maxNumSeqs || env.BURROW_MAX_NUM_SEQS),
    maxNumBatchedTokens: count(
      '--max-num-batched-tokens',
      options.maxNumBatchedTokens || env.BURROW_MAX_NUM_BATCHED_TOKENS,
    ),
    kvCacheMemory,
  }
}

const readParallelSizes = (
  options: BackendOptions,
  env: Environment,
  problems: string[],
): ParallelSizes => {
  const read = (flag: string, given: string): number => {
    const size = given === '' ? 1 : Number(given)
    if (Number.isSafeInteger(size) && size >= 1) return size
    problems.push(`--${flag} must be a whole number from 1, not ${given}`)
    return 1
  }
  const tensor = options.tensorParallelSize || env.BURROW_TENSOR_PARALLEL_SIZE || ''
  const pipeline = options.pipelineParallelSize || env.BURROW_PIPELINE_PARALLEL_SIZE || ''
  return {
    tensorParallelSize: read('tensor-parallel-size', tensor),
    pipelineParallelSize: read('pipeline-parallel-size', pipeline),
  }
}

const readRopeOverride = (
  options: BackendOptions,
  env: Environment,
  problems: string[],
): RopeOverride | undefined => {
  const name = options.ropeScaling || env.BURROW_ROPE_SCALING
  const factor = options.ropeFactor || env.BURROW_ROPE_FACTOR
  if (!name && !factor) return undefined
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

const readToken = (options: BackendOptions, env: Environment, problems: string[]): string => {
  const given =
    options.token ||
    (options.tokenFile ? readTokenFile(options.tokenFile, problems) : env.BURROW_TOKEN)
  if (given === undefined || given === '') {
    problems.push(
      'the backend token is missing: give --token-file FILE or BURROW_TOKEN ' +
        '(`burrow backends enroll --name NAME` on the gateway prints one)',
    )
  }
  return given ?? ''
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
