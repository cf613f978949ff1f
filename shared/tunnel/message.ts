/** The payloads of HELLO, WELCOME, OPEN, HEAD, END and RESET: their types, writers and parsers. */
import type { Usage } from '../openai/usage.ts'
import { errorCodeName, errorCodes, isErrorCode, TunnelError, type ErrorCode } from './error.ts'
import type { OpenRequest, ResponseHead } from './exchange.ts'
import type { Frame } from './frame.ts'
import { limits } from './limits.ts'

/** What a backend says of itself, first thing on a connection. */
export type Hello = {
  /** Chosen anew by each backend process. */
  readonly instanceId: string
  /** Counts the connections of that process, so that a late one cannot replace a newer one. */
  readonly generation: number
  /** Served model names. */
  readonly models: readonly string[]
  /** Streams that the backend is willing to have open at once. */
  readonly maxStreams: number
  /** Initial credit of each request body, bytes. */
  readonly windowBytes: number
}

/** The gateway's answer: from here on streams may be opened. */
export type Welcome = {
  readonly sessionId: string
  /** The negotiated number: the smaller of both sides' limits. */
  readonly maxStreams: number
  /** Initial credit of each response body, bytes. */
  readonly windowBytes: number
}

/** OPEN: a request without its body. */
export type Open = Omit<OpenRequest, 'body'> & { readonly hasBody: boolean }

/** Why a stream failed, for the peer's eyes: nothing internal. */
export type Failure = { readonly code: ErrorCode; readonly message: string }

/** The last words of a stream. With `error` it failed, and what was sent is not the whole body. */
export type End = { readonly usage?: Usage; readonly error?: Failure }

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })
const lenientDecoder = new TextDecoder()

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const invalid = (what: string, cause?: unknown) =>
  new TunnelError('PROTOCOL_ERROR', `${what} is malformed`, { cause })

const readJson = (payload: Uint8Array, what: string): Fields => {
  let value: unknown
  try {
    value = JSON.parse(decoder.decode(payload))
  } catch (error) {
    throw invalid(what, error)
  }
  if (!isFields(value)) throw invalid(what)
  return value
}

const string = (value: unknown, maxChars: number, what: string): string => {
  if (typeof value === 'string' && value !== '' && value.length <= maxChars) return value
  throw invalid(what)
}

const integer = (value: unknown, min: number, max: number, what: string): number => {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) {
    return value
  }
  throw invalid(what)
}

const list = (value: unknown, maxItems: number, what: string): readonly unknown[] => {
  if (Array.isArray(value) && value.length <= maxItems) return value
  throw invalid(what)
}

const windowBytes = (value: unknown, what: string): number =>
  integer(value, limits.minWindowBytes, limits.maxWindowBytes, what)

const writeHeaders = (headers: Headers): [string, string][] => {
  const pairs: [string, string][] = []
  headers.forEach((value, name) => pairs.push([name, value]))
  return pairs
}

const parseHeaders = (value: unknown, what: string): Headers => {
  const headers = new Headers()
  for (const pair of list(value, limits.headerCount, what)) {
    const [name, text] = list(pair, 2, what)
    if (typeof name !== 'string' || typeof text !== 'string') throw invalid(what)
    try {
      headers.append(name, text)
    } catch (error) {
      throw invalid(what, error)
    }
  }
  return headers
}

/** What `fetch` can express; CONNECT and TRACE are not for a tunnel of requests. */
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

const encodeJson = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))

// The parser is the rule: one bad head must not cost all the others their connection.
const within = (maxBytes: number, payload: Uint8Array, what: string): Uint8Array => {
  if (payload.byteLength <= maxBytes) return payload
  throw new TunnelError('TOO_LARGE', `${what} is over ${maxBytes} bytes`)
}

export const encodeHello = (hello: Hello): Uint8Array => encodeJson(hello)

/** @throws TunnelError PROTOCOL_ERROR, as all parsers here */
export const parseHello = (payload: Uint8Array): Hello => {
  const from = readJson(payload, 'HELLO')
  return {
    instanceId: string(from['instanceId'], 128, 'HELLO.instanceId'),
    generation: integer(from['generation'], 1, Number.MAX_SAFE_INTEGER, 'HELLO.generation'),
    models: list(from['models'], limits.models, 'HELLO.models').map((model) =>
      string(model, limits.modelNameChars, 'HELLO.models'),
    ),
    maxStreams: integer(from['maxStreams'], 1, 2 ** 16, 'HELLO.maxStreams'),
    windowBytes: windowBytes(from['windowBytes'], 'HELLO.windowBytes'),
  }
}

export const encodeWelcome = (welcome: Welcome): Uint8Array => encodeJson(welcome)

export const parseWelcome = (payload: Uint8Array): Welcome => {
  const from = readJson(payload, 'WELCOME')
  return {
    sessionId: string(from['sessionId'], 128, 'WELCOME.sessionId'),
    maxStreams: integer(from['maxStreams'], 1, limits.streams, 'WELCOME.maxStreams'),
    windowBytes: windowBytes(from['windowBytes'], 'WELCOME.windowBytes'),
  }
}

/** @throws TunnelError when the peer would have to refuse it: TOO_LARGE or PROTOCOL_ERROR */
export const encodeOpen = ({ requestId, method, path, headers, hasBody }: Open): Uint8Array => {
  const open = { requestId, method, path, headers: writeHeaders(headers), hasBody }
  const payload = within(limits.openBytes, encodeJson(open), "the request's head")
  parseOpen(payload)
  return payload
}

export const parseOpen = (payload: Uint8Array): Open => {
  const from = readJson(payload, 'OPEN')
  const method = from['method']
  const path = string(from['path'], limits.pathChars, 'OPEN.path')
  const hasBody = from['hasBody']
  if (typeof method !== 'string' || !methods.includes(method)) throw invalid('OPEN.method')
  if (!path.startsWith('/')) throw invalid('OPEN.path')
  if (typeof hasBody !== 'boolean') throw invalid('OPEN.hasBody')
  if (hasBody && (method === 'GET' || method === 'HEAD')) throw invalid('OPEN.hasBody')
  return {
    requestId: string(from['requestId'], limits.requestIdChars, 'OPEN.requestId'),
    method,
    path,
    headers: parseHeaders(from['headers'], 'OPEN.headers'),
    hasBody,
  }
}

/** @throws TunnelError when the peer would have to refuse it: TOO_LARGE or PROTOCOL_ERROR */
export const encodeHead = ({ status, headers }: ResponseHead): Uint8Array => {
  const head = { status, headers: writeHeaders(headers) }
  const payload = within(limits.headBytes, encodeJson(head), "the response's head")
  parseHead(payload)
  return payload
}

export const parseHead = (payload: Uint8Array): ResponseHead => {
  const from = readJson(payload, 'HEAD')
  return {
    status: integer(from['status'], 200, 599, 'HEAD.status'),
    headers: parseHeaders(from['headers'], 'HEAD.headers'),
  }
}

const tokens = (value: unknown): number => integer(value, 0, Number.MAX_SAFE_INTEGER, 'END.usage')

const parseUsage = (value: unknown): Usage => {
  if (!isFields(value)) throw invalid('END.usage')
  return {
    promptTokens: tokens(value['promptTokens']),
    completionTokens: tokens(value['completionTokens']),
  }
}

const parseFailure = (value: unknown): Failure => {
  if (!isFields(value)) throw invalid('END.error')
  const { code, message } = value
  if (typeof code !== 'string' || typeof message !== 'string') throw invalid('END.error')
  return { code: isErrorCode(code) ? code : 'INTERNAL', message: message.slice(0, 1024) }
}

/** An END that says nothing is empty. */
export const encodeEnd = (end: End): Uint8Array =>
  end.usage || end.error ? encodeJson(end) : new Uint8Array(0)

export const parseEnd = (payload: Uint8Array): End => {
  if (payload.byteLength === 0) return {}
  const { usage, error } = readJson(payload, 'END')
  return {
    ...(usage !== undefined && { usage: parseUsage(usage) }),
    ...(error !== undefined && { error: parseFailure(error) }),
  }
}

/** RESET: `u32 code | text`; the text is cut to its limit at a character's border. */
export const resetFrame = (streamId: number, { code, message }: Failure): Frame => {
  const payload = new Uint8Array(4 + limits.resetTextBytes)
  new DataView(payload.buffer).setUint32(0, errorCodes[code])
  const { written } = encoder.encodeInto(message, payload.subarray(4))
  return { name: 'RESET', streamId, payload: payload.subarray(0, 4 + written) }
}

export const parseReset = (payload: Uint8Array): Failure => ({
  code: errorCodeName(new DataView(payload.buffer, payload.byteOffset, 4).getUint32(0)),
  message: lenientDecoder.decode(payload.subarray(4)),
})
