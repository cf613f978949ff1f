/** The payloads of AUTH, GOAWAY, STATUS and SYNC: what the ends tell each other beside the streams. */
import { isErrorCode, type ErrorCode } from './error.ts'
import { isStreamId } from './frame.ts'
import { limits } from './limits.ts'
import {
  boolean,
  checked,
  encodeJson,
  fraction,
  integer,
  malformed,
  readJson,
  sentence,
  string,
} from './payload.ts'

/** AUTH: a fresh backend token, before the old one expires. @throws TunnelError PROTOCOL_ERROR */
export const encodeAuth = (token: string): Uint8Array => checked(encodeJson({ token }), parseAuth)

/** @throws TunnelError PROTOCOL_ERROR, as all parsers here */
export const parseAuth = (payload: Uint8Array): string =>
  string(readJson(payload, 'AUTH')['token'], limits.tokenChars, 'AUTH.token')

/** The sender will stop, or wants this connection replaced. */
export type Goaway = {
  readonly code: ErrorCode
  /** From a backend: streams above it were not begun and will not be. From a gateway: 0. */
  readonly lastStreamId: number
  /** When the sender closes at the latest, from now. */
  readonly deadlineMs: number
  /** A sentence for logs. */
  readonly message: string
}

/** @throws TunnelError PROTOCOL_ERROR when the peer would have to refuse it */
export const encodeGoaway = (goaway: Goaway): Uint8Array =>
  checked(encodeJson({ ...goaway, message: goaway.message.slice(0, 256) }), parseGoaway)

export const parseGoaway = (payload: Uint8Array): Goaway => {
  const from = readJson(payload, 'GOAWAY')
  const code = from['code']
  if (typeof code !== 'string') throw malformed('GOAWAY.code')
  return {
    code: isErrorCode(code) ? code : 'INTERNAL',
    lastStreamId: integer(from['lastStreamId'], 0, limits.maxStreamId, 'GOAWAY.lastStreamId'),
    deadlineMs: integer(from['deadlineMs'], 0, limits.deadlineMs, 'GOAWAY.deadlineMs'),
    message: sentence(from['message'], 'GOAWAY.message'),
  }
}

/** How busy a backend is, for routing. */
export type Status = {
  /** Requests that are being computed. */
  readonly running: number
  /** Requests that wait for a place. */
  readonly waiting: number
  /** Prompt tokens not yet computed, and tokens being produced. */
  readonly tokensInFlight: number
  /** The part of the KV cache that is free, 0 to 1. */
  readonly kvCacheFree?: number
  /** How much this backend can do beside others, default 1; 0 asks for no requests. */
  readonly weight?: number
  /** It will stop: no new requests, please. */
  readonly draining?: boolean
}

/** @throws TunnelError PROTOCOL_ERROR when the gateway would have to refuse it */
export const encodeStatus = (status: Status): Uint8Array => checked(encodeJson(status), parseStatus)

export const parseStatus = (payload: Uint8Array): Status => {
  const from = readJson(payload, 'STATUS')
  const { kvCacheFree, weight, draining } = from
  const count = (name: string) => integer(from[name], 0, Number.MAX_SAFE_INTEGER, `STATUS.${name}`)
  return {
    running: count('running'),
    waiting: count('waiting'),
    tokensInFlight: count('tokensInFlight'),
    ...(kvCacheFree !== undefined && {
      kvCacheFree: fraction(kvCacheFree, 1, 'STATUS.kvCacheFree'),
    }),
    ...(weight !== undefined && { weight: fraction(weight, 1_000, 'STATUS.weight') }),
    ...(draining !== undefined && { draining: boolean(draining, 'STATUS.draining') }),
  }
}

/** SYNC: the ids of the sender's live streams, `u32` each. */
export const encodeSync = (streamIds: readonly number[]): Uint8Array => {
  const payload = new Uint8Array(4 * streamIds.length)
  const view = new DataView(payload.buffer)
  for (const [i, id] of streamIds.entries()) view.setUint32(4 * i, id)
  return payload
}

export const parseSync = (payload: Uint8Array): ReadonlySet<number> => {
  if (payload.byteLength % 4 !== 0) throw malformed('SYNC')
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  const ids = new Set<number>()
  for (let at = 0; at < payload.byteLength; at += 4) {
    const id = view.getUint32(at)
    if (!isStreamId(id)) throw malformed('SYNC')
    ids.add(id)
  }
  return ids
}
