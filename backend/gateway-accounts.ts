/** Which gateways a backend dials, and what it shows each of them. */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { isBackendName, TunnelKey, tunnelKeyRequirement } from '../shared/auth/tunnel-key.ts'
import { listItems, type FlagValues } from '../shared/flags.ts'
import { parseGatewaySecrets } from './gateway-secrets.ts'
import type { FlagReader } from './read-flags.ts'
import { parseTunnelUrl } from './tunnel/tunnel-url.ts'

export type GatewayAccount = {
  /** Where to dial: `ws://` or `wss://`. */
  readonly url: string
  readonly credential: BackendCredential
}

/** How the backend shows who it is. Never logged. */
export type BackendCredential =
  /** What the gateway's `backends enroll` printed. */
  | { readonly kind: 'enrolment'; readonly secret: string }
  | { readonly kind: 'tunnelKey'; readonly key: TunnelKey; readonly name: string }

/** Secrets of the backend's own go before the tunnel key. What is wrong is told to the reader. */
export const readGatewayAccounts = (
  flags: FlagValues,
  env: FlagValues,
  reader: FlagReader,
): readonly GatewayAccount[] => {
  const { problems } = reader
  const text = readSecretText(flags, reader)
  const secrets = parseGatewaySecrets(text ?? '', problems)
  const named = listItems(reader.text('gateway'))
  const fromFile = secrets.kind === 'each' ? [...secrets.byUrl.keys()] : []
  const urls = checkUrls(named.length > 0 ? named : fromFile, problems)
  if (secrets.kind === 'each') {
    const unknown = urls.filter((url) => !secrets.byUrl.has(url))
    problems.push(...unknown.map((url) => `--token-file has no line for ${url}`))
    return urls.map((url) => ({
      url,
      credential: { kind: 'enrolment', secret: secrets.byUrl.get(url) ?? '' },
    }))
  }
  const credential =
    secrets.secret === ''
      ? readTunnelKey(text !== undefined, env, reader)
      : ({ kind: 'enrolment', secret: secrets.secret } as const)
  if (credential?.kind === 'enrolment' && urls.length > 1) {
    problems.push(
      'each gateway has its own enrolment secret: ' +
        'give --token-file a file with a line `URL SECRET` for each of them',
    )
  }
  return credential ? urls.map((url) => ({ url, credential })) : []
}

/** In the form in which they are compared; those that are none are told. */
const checkUrls = (texts: readonly string[], problems: string[]): string[] => {
  const urls: string[] = []
  if (texts.length === 0) {
    problems.push('the gateway is missing: give --gateway wss://HOST/tunnel or BURROW_GATEWAY')
  }
  for (const text of texts) {
    try {
      const { href } = parseTunnelUrl(text)
      if (urls.includes(href)) problems.push(`--gateway ${text} is given twice`)
      urls.push(href)
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error))
    }
  }
  return urls
}

/** @param hasEmptySecret a file or variable was meant to have one */
const readTunnelKey = (
  hasEmptySecret: boolean,
  env: FlagValues,
  reader: FlagReader,
): BackendCredential | null => {
  const text = env['BURROW_TUNNEL_KEY']?.trim()
  if (!text || hasEmptySecret) {
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
const readSecretText = (flags: FlagValues, reader: FlagReader): string | undefined => {
  const file = reader.text('token-file')
  const isFromFile = file !== undefined && !flags['token']
  return isFromFile ? readTokenFile(file, reader.problems) : reader.text('token')
}

const readTokenFile = (file: string, problems: string[]): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    problems.push(
      `cannot read --token-file: ${error instanceof Error ? error.message : String(error)}`,
    )
    return '-'
  }
}
