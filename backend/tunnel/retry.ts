/** When to dial again, and what to tell the operator. Pure: randomness comes in. */
import { closeCodes } from '../../shared/tunnel/error.ts'

/** How one attempt to be connected ended. */
export type Ended =
  /** The gateway answered the upgrade with an HTTP status. */
  | {
      readonly kind: 'refused'
      readonly status: number
      /** The gateway's own words. */
      readonly reason?: string
      readonly retryAfterMs?: number
    }
  /** No answer at all. */
  | { readonly kind: 'unreachable'; readonly reason: string }
  /** There was a WebSocket; `upMs` is how long it was a tunnel. */
  | {
      readonly kind: 'closed'
      readonly code: number
      readonly reason: string
      readonly upMs: number
    }

/** Full jitter spreads the backends of a gateway that came back. */
const firstRetryMs = 500
const baseRetryMs = 200
const maxRetryMs = 20_000
/** A token or a version does not become right by asking often. */
const hopelessRetryMs = 60_000
/** A gateway may ask for more time, within reason. */
const maxRetryAfterMs = 300_000
/** A connection that lived for so long was a success: the next failure starts from the beginning. */
const stableMs = 10_000

export type Retry = {
  /** `failed` counts from 0 again after a stable connection. */
  readonly numFailures: number
  readonly delayMs: number
}

/**
 * What to do after `ended`; undefined: stop for good.
 * @param numFailures failures in a row before this one
 * @param random in [0, 1)
 */
export const nextRetry = (ended: Ended, numFailures: number, random: number): Retry | undefined => {
  if (ended.kind === 'closed' && ended.code === closeCodes.REPLACED) return undefined
  const before = ended.kind === 'closed' && ended.upMs >= stableMs ? 0 : numFailures
  const ceiling =
    before === 0 ? firstRetryMs : Math.min(maxRetryMs, baseRetryMs * 2 ** Math.min(before, 10))
  const jitter = random * ceiling
  return { numFailures: before + 1, delayMs: Math.round(floor(ended) + jitter) }
}

const floor = (ended: Ended): number => {
  if (ended.kind === 'closed') return ended.code === closeCodes.AUTH ? hopelessRetryMs : 0
  if (ended.kind === 'unreachable') return 0
  if (ended.status === 401 || ended.status === 426) return hopelessRetryMs
  return Math.min(ended.retryAfterMs ?? 0, maxRetryAfterMs)
}

/** One sentence for the log that says what happened and, where possible, what to do. */
export const explain = (ended: Ended): string => {
  if (ended.kind === 'unreachable') return `the gateway cannot be reached: ${ended.reason}`
  if (ended.kind === 'closed') return explainClose(ended.code, ended.reason)
  switch (ended.status) {
    case 401:
      return `the gateway does not let this backend in: ${ended.reason ?? 'check its secret'}`
    case 426:
      return 'the gateway does not speak burrow.1: run the same version of Burrow on both sides'
    case 429:
      return 'too many attempts from this address have failed: is the secret right?'
    case 503:
      return 'the gateway is not ready for more backends (503)'
    default:
      return `the gateway answered ${ended.status} to the tunnel: is this the address of a gateway?`
  }
}

const explainClose = (code: number, reason: string): string => {
  if (code === closeCodes.AUTH) return `the gateway does not let this backend in: ${reason}`
  if (code === closeCodes.REPLACED) {
    return 'another backend has connected with the same secret or name: give each backend its own'
  }
  return `the connection ended (${code}${reason && `: ${reason}`})`
}

/** `Retry-After` in ms: seconds, or a date (RFC 9110 section 10.2.3). */
export const retryAfterMs = (header: string | undefined, nowMs: number): number | undefined => {
  if (header === undefined) return undefined
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
