/** The backend's configuration: the only place that reads its flags and environment. */
import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../shared/config-error.ts'

export type BackendConfig = {
  /** Where to dial: `ws://` or `wss://`. */
  readonly gatewayUrl: string
  /** The secret that the gateway's `backends enroll` printed. */
  readonly token: string
  /** The model folder, in Hugging Face's layout. */
  readonly modelFolder: string
  /** The name that clients use, and the only one they see. */
  readonly servedModelName: string
  /** Converted models are kept under it. */
  readonly home: string
}

/** Command line values as given; undefined or empty where not given. */
export type BackendOptions = {
  readonly gateway?: string | undefined
  readonly token?: string | undefined
  readonly tokenFile?: string | undefined
  readonly model?: string | undefined
  readonly servedModelName?: string | undefined
  readonly home?: string | undefined
}

export const bundledModelFolder = fileURLToPath(new URL('./bundled-model', import.meta.url))
const bundledModelName = 'burrow-tiny'

/** A flag wins over its environment variable. @throws ConfigError with all problems together */
export const parseBackendConfig = (
  options: BackendOptions,
  env: Readonly<Record<string, string | undefined>>,
): BackendConfig => {
  const problems: string[] = []
  const model = options.model || env.BURROW_MODEL
  const gateway = options.gateway || env.BURROW_GATEWAY
  if (!gateway) {
    problems.push('the gateway is missing: give --gateway wss://HOST/tunnel or BURROW_GATEWAY')
  }
  const token = readToken(options, env, problems)
  const modelFolder = model ? resolve(model) : bundledModelFolder
  const servedModelName =
    options.servedModelName ||
    env.BURROW_SERVED_MODEL_NAME ||
    (model ? basename(modelFolder) : bundledModelName)
  if (!/^[\x21-\x7e]{1,128}$/.test(servedModelName)) {
    problems.push('the served model name must have 1 to 128 visible ASCII characters, no spaces')
  }
  if (problems.length > 0) throw new ConfigError(problems)
  const home = resolve(options.home || env.BURROW_HOME || '.burrow')
  return { gatewayUrl: gateway ?? '', token, modelFolder, servedModelName, home }
}

const readToken = (
  options: BackendOptions,
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
): string => {
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
