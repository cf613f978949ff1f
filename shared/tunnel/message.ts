/** The payloads of OPEN, HEAD, END and RESET: a stream from its first word to its last. */
import type { Usage } from '../openai/usage.ts'
import { errorCodeName, errorCodes, isErrorCode, type ErrorCode } from './error.ts'
import type { OpenRequest, ResponseHead } from './exchange.ts'
import type { Frame } from './frame.ts'
import { isServiceName } from './hello.ts'
import { limits } from './limits.ts'
import {
  checkedWithin,
  encodeJson,
  integer,
  isFields,
  list,
  malformed,
  parseUsage,
  readJson,
  sentence,
  string,
} from './payload.ts'
import { parseTicket } from './usage-message.ts'

/** OPEN: a request without its body. */
export type Open = Omit<OpenRequest, 'body'> & { readonly hasBody: boolean }

/** Why a stream failed, for the peer's eyes: nothing internal. */
export type Failure = { readonly code: ErrorCode; readonly message: string }

/** The last words of a stream. With `error` it failed, and what was sent is not the whole body. */
export type End = { readonly usage?: Usage; readonly error?: Failure }

const encoder = new TextEncoder()
const lenientDecoder = new TextDecoder()

const writeHeaders = (headers: Headers): [string, string][] => {
  const pairs: [string, string][] = []
  headers.forEach((value, name) => pairs.push([name, value]))
  return pairs
}

const parseHeaders = (value: unknown, what: string): Headers => {
  const headers = new Headers()
  for (const pair of list(value, limits.headerCount, what)) {
    const [name, text] = list(pair, 2, what)
    if (typeof name !== 'string' || typeof text !== 'string') throw malformed(what)
    try {
      headers.append(name, text)
    } catch (error) {
      throw malformed(what, error)
    }
  }
  return headers
}

/** What `fetch` can express; CONNECT and TRACE are not for a tunnel of requests. */
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** @throws TunnelError when the peer would have to refuse it: TOO_LARGE or PROTOCOL_ERROR */
export const encodeOpen = (open: Open): Uint8Array => {
  const payload = encodeJson({ ...open, headers: writeHeaders(open.headers) })
  return checkedWithin(limits.openBytes, payload, parseOpen, "the request's head")
}

export const parseOpen = (payload: Uint8Array): Open => {
  const from = readJson(payload, 'OPEN')
  const { method, hasBody, ticket, deadlineMs, attempt, service, upgrade } = from
  const path = string(from['path'], limits.pathChars, 'OPEN.path')
  if (typeof method !== 'string' || !methods.includes(method)) throw malformed('OPEN.method')
  if (!path.startsWith('/')) throw malformed('OPEN.path')
  if (typeof hasBody !== 'boolean') throw malformed('OPEN.hasBody')
  if (upgrade !== undefined && (upgrade !== 'websocket' || method !== 'GET' || !hasBody)) {
    throw malformed('OPEN.upgrade')
  }
  if (hasBody && upgrade === undefined && (method === 'GET' || method === 'HEAD')) {
    throw malformed('OPEN.hasBody')
  }
  if (service !== undefined && !isServiceName(service)) throw malformed('OPEN.service')
  return {
    requestId: string(from['requestId'], limits.requestIdChars, 'OPEN.requestId'),
    method,
    path,
    headers: parseHeaders(from['headers'], 'OPEN.headers'),
    hasBody,
    ...(ticket !== undefined && { ticket: parseTicket(ticket, 'OPEN.ticket') }),
    ...(deadlineMs !== undefined && {
      deadlineMs: integer(deadlineMs, 1, limits.deadlineMs, 'OPEN.deadlineMs'),
    }),
    ...(attempt !== undefined && { attempt: integer(attempt, 1, 100, 'OPEN.attempt') }),
    ...(service !== undefined && { service }),
    ...(upgrade !== undefined && { upgrade }),
  }
}

/** @throws TunnelError when the peer would have to refuse it: TOO_LARGE or PROTOCOL_ERROR */
export const encodeHead = ({ status, headers }: ResponseHead): Uint8Array => {
  const payload = encodeJson({ status, headers: writeHeaders(headers) })
  return checkedWithin(limits.headBytes, payload, parseHead, "the response's head")
}

export const parseHead = (payload: Uint8Array): ResponseHead => {
  const from = readJson(payload, 'HEAD')
  return {
    status: from['status'] === 101 ? 101 : integer(from['status'], 200, 599, 'HEAD.status'),
    headers: parseHeaders(from['headers'], 'HEAD.headers'),
  }
}

const parseFailure = (value: unknown): Failure => {
  if (!isFields(value)) throw malformed('END.error')
  const { code, message } = value
  if (typeof code !== 'string') throw malformed('END.error')
  return { code: isErrorCode(code) ? code : 'INTERNAL', message: sentence(message, 'END.error') }
}

/** An END that says nothing is empty. */
export const encodeEnd = (end: End): Uint8Array =>
  end.usage || end.error ? encodeJson(end) : new Uint8Array(0)

export const parseEnd = (payload: Uint8Array): End => {
  if (payload.byteLength === 0) return {}
  const { usage, error } = readJson(payload, 'END')
  return {
    ...(usage !== undefined && { usage: parseUsage(usage, 'END.usage') }),
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
