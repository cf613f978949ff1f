/** The payloads of HELLO and WELCOME: what both ends agree on before the first stream. */
import { limits } from './limits.ts'
import {
  boolean,
  checked,
  encodeJson,
  integer,
  list,
  malformed,
  readJson,
  string,
  within,
} from './payload.ts'

/** What a backend says of itself, first thing on a connection. */
export type Hello = {
  /** Chosen anew by each backend process. */
  readonly instanceId: string
  /** Counts the connections of that process, so that a late one cannot replace a newer one. */
  readonly generation: number
  /** Which of the backend's connections this is: 0 to 3. Each index holds one connection. */
  readonly connectionIndex: number
  /** Served model names. */
  readonly models: readonly string[]
  /** Names of the HTTP services that it exposes. */
  readonly services: readonly string[]
  /** What it can beyond this specification; unknown ones mean nothing. */
  readonly capabilities: readonly string[]
  /** Streams that the backend is willing to have open at once. */
  readonly maxStreams: number
  /** Initial credit of each request body, bytes. */
  readonly windowBytes: number
  /** Initial credit of all request bodies together, bytes. */
  readonly connectionWindowBytes: number
  /** The answer to CHALLENGE; see challenge.ts. */
  readonly proof?: string
}

/** The gateway's answer: from here on streams may be opened. */
export type Welcome = {
  readonly sessionId: string
  /** The negotiated number: the smaller of both sides' limits. */
  readonly maxStreams: number
  /** Initial credit of each response body, bytes. */
  readonly windowBytes: number
  /** Initial credit of all response bodies together, bytes. */
  readonly connectionWindowBytes: number
  /** The gateway sleeps while no stream is open: a text ping is answered without waking it. */
  readonly textPing?: boolean
}

const windowBytes = (value: unknown, what: string): number =>
  integer(value, limits.minWindowBytes, limits.maxWindowBytes, what)

const connectionWindowBytes = (value: unknown, what: string): number =>
  integer(value, limits.minWindowBytes, limits.maxConnectionWindowBytes, what)

/** A service's name becomes a host name's first label. */
export const isServiceName = (name: unknown): name is string =>
  typeof name === 'string' &&
  name.length <= limits.serviceNameChars &&
  /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name)

const serviceName = (name: unknown): string => {
  if (isServiceName(name)) return name
  throw malformed('HELLO.services')
}

/** @throws TunnelError when the gateway would have to refuse it: TOO_LARGE or PROTOCOL_ERROR */
export const encodeHello = (hello: Hello): Uint8Array =>
  checked(within(limits.helloBytes, encodeJson(hello), 'HELLO'), parseHello)

/** @throws TunnelError PROTOCOL_ERROR, as all parsers here */
export const parseHello = (payload: Uint8Array): Hello => {
  const from = readJson(payload, 'HELLO')
  const { services = [], capabilities = [], proof } = from
  return {
    instanceId: string(from['instanceId'], limits.requestIdChars, 'HELLO.instanceId'),
    generation: integer(from['generation'], 1, Number.MAX_SAFE_INTEGER, 'HELLO.generation'),
    connectionIndex: integer(
      from['connectionIndex'],
      0,
      limits.connections - 1,
      'HELLO.connectionIndex',
    ),
    models: list(from['models'], limits.models, 'HELLO.models').map((model) =>
      string(model, limits.modelNameChars, 'HELLO.models'),
    ),
    services: list(services, limits.services, 'HELLO.services').map(serviceName),
    capabilities: list(capabilities, limits.capabilities, 'HELLO.capabilities').map((name) =>
      string(name, limits.capabilityChars, 'HELLO.capabilities'),
    ),
    maxStreams: integer(from['maxStreams'], 1, 2 ** 16, 'HELLO.maxStreams'),
    windowBytes: windowBytes(from['windowBytes'], 'HELLO.windowBytes'),
    connectionWindowBytes: connectionWindowBytes(
      from['connectionWindowBytes'],
      'HELLO.connectionWindowBytes',
    ),
    ...(proof !== undefined && { proof: string(proof, 128, 'HELLO.proof') }),
  }
}

/** @throws TunnelError PROTOCOL_ERROR when the backend would have to refuse it */
export const encodeWelcome = (welcome: Welcome): Uint8Array =>
  checked(encodeJson(welcome), parseWelcome)

export const parseWelcome = (payload: Uint8Array): Welcome => {
  const from = readJson(payload, 'WELCOME')
  const textPing = from['textPing']
  return {
    sessionId: string(from['sessionId'], 128, 'WELCOME.sessionId'),
    maxStreams: integer(from['maxStreams'], 1, limits.streams, 'WELCOME.maxStreams'),
    windowBytes: windowBytes(from['windowBytes'], 'WELCOME.windowBytes'),
    connectionWindowBytes: connectionWindowBytes(
      from['connectionWindowBytes'],
      'WELCOME.connectionWindowBytes',
    ),
    ...(textPing !== undefined && { textPing: boolean(textPing, 'WELCOME.textPing') }),
  }
}
