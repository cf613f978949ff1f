/** Reading and writing JSON payloads: everything from the peer is `unknown` until one of these has looked. */
import type { Usage } from '../openai/usage.ts'
import { TunnelError } from './error.ts'

export type Fields = Readonly<Record<string, unknown>>

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const malformed = (what: string, cause?: unknown): TunnelError =>
  new TunnelError('PROTOCOL_ERROR', `${what} is malformed`, { cause })

export const encodeJson = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))

/** `payload`, if its reader takes it: what an end sends it has checked by the rules of the other. */
export const checked = (
  payload: Uint8Array,
  parse: (payload: Uint8Array) => unknown,
): Uint8Array => {
  parse(payload)
  return payload
}

/** As `checked`, for what grows with its owner's configuration. @throws TunnelError TOO_LARGE also */
export const checkedWithin = (
  maxBytes: number,
  payload: Uint8Array,
  parse: (payload: Uint8Array) => unknown,
  what: string,
): Uint8Array => {
  if (payload.byteLength <= maxBytes) return checked(payload, parse)
  throw new TunnelError('TOO_LARGE', `${what} is over ${maxBytes} bytes`)
}

/** @throws TunnelError PROTOCOL_ERROR unless `payload` is a JSON object, as all readers here */
export const readJson = (payload: Uint8Array, what: string): Fields => {
  let value: unknown
  try {
    value = JSON.parse(decoder.decode(payload))
  } catch (error) {
    throw malformed(what, error)
  }
  if (!isFields(value)) throw malformed(what)
  return value
}

export const string = (value: unknown, maxChars: number, what: string): string => {
  if (typeof value === 'string' && value !== '' && value.length <= maxChars) return value
  throw malformed(what)
}

/** A sentence for people: cut to what is worth keeping. */
export const sentence = (value: unknown, what: string): string => {
  if (typeof value === 'string') return value.slice(0, 1024)
  throw malformed(what)
}

export const integer = (value: unknown, min: number, max: number, what: string): number => {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) {
    return value
  }
  throw malformed(what)
}

export const fraction = (value: unknown, max: number, what: string): number => {
  if (typeof value === 'number' && value >= 0 && value <= max) return value
  throw malformed(what)
}

export const boolean = (value: unknown, what: string): boolean => {
  if (typeof value === 'boolean') return value
  throw malformed(what)
}

export const list = (value: unknown, maxItems: number, what: string): readonly unknown[] => {
  if (Array.isArray(value) && value.length <= maxItems) return value
  throw malformed(what)
}

/** A count of tokens, as in END and USAGE. */
export const parseUsage = (value: unknown, what: string): Usage => {
  if (!isFields(value)) throw malformed(what)
  const tokens = (count: unknown) => integer(count, 0, Number.MAX_SAFE_INTEGER, what)
  return {
    promptTokens: tokens(value['promptTokens']),
    completionTokens: tokens(value['completionTokens']),
  }
}
