import { describe, expect, it } from 'vitest'
import { explain, nextRetry, retryAfterMs, type Ended } from '../../backend/tunnel/retry.ts'

const unreachable: Ended = { kind: 'unreachable', reason: 'ECONNREFUSED' }

const closed = (code: number, upMs = 0): Ended => ({ kind: 'closed', code, reason: '', upMs })

/** The longest delays of `count` failures in a row. */
const longest = (ended: Ended, count: number): (number | undefined)[] =>
  Array.from({ length: count }, (_, numFailures) => nextRetry(ended, numFailures, 1)?.delayMs)

describe('retrying', () => {
  it('waits longer from time to time, up to 20 s', () => {
    expect(longest(unreachable, 10)).toEqual([
      500, 400, 800, 1_600, 3_200, 6_400, 12_800, 20_000, 20_000, 20_000,
    ])
    expect(nextRetry(unreachable, 1e6, 1)?.delayMs).toBe(20_000)
  })

  it('spreads its delays over the whole range', () => {
    expect(nextRetry(unreachable, 5, 0)).toEqual({ numFailures: 6, delayMs: 0 })
    expect(nextRetry(unreachable, 5, 0.5)).toEqual({ numFailures: 6, delayMs: 3_200 })
  })

  it('starts anew after a connection that lived for 10 s, and not before', () => {
    expect(nextRetry(closed(1001, 10_000), 7, 1)).toEqual({ numFailures: 1, delayMs: 500 })
    expect(nextRetry(closed(1001, 9_999), 7, 1)).toEqual({ numFailures: 8, delayMs: 20_000 })
  })

  it('obeys Retry-After, up to five minutes', () => {
    const refused = (ms: number): Ended => ({ kind: 'refused', status: 503, retryAfterMs: ms })
    expect(nextRetry(refused(3_000), 0, 0.5)?.delayMs).toBe(3_250)
    expect(nextRetry(refused(1e9), 0, 0)?.delayMs).toBe(300_000)
  })

  it.each([
    { kind: 'refused', status: 401 },
    { kind: 'refused', status: 426 },
    closed(4001),
  ] as const)('waits a minute after $kind $status $code', (ended) => {
    expect(nextRetry(ended, 0, 0)?.delayMs).toBe(60_000)
  })

  it('stops when another backend has taken over', () => {
    expect(nextRetry(closed(4009), 0, 0)).toBeUndefined()
  })
})

describe('Retry-After', () => {
  it.each([
    [undefined, undefined],
    ['7', 7_000],
    ['Thu, 01 Jan 1970 00:00:09 GMT', 8_000],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['soon', undefined],
  ])('%s is %s ms', (header, ms) => {
    expect(retryAfterMs(header, 1_000)).toBe(ms)
  })
})

describe('what the operator is told', () => {
  it.each<[Ended, string]>([
    [unreachable, 'the gateway cannot be reached: ECONNREFUSED'],
    [
      { kind: 'refused', status: 401 },
      'the gateway does not let this backend in: check its secret',
    ],
    [
      { kind: 'refused', status: 401, reason: 'This backend token has expired.' },
      'the gateway does not let this backend in: This backend token has expired.',
    ],
    [
      { kind: 'refused', status: 429, retryAfterMs: 6_000 },
      'too many attempts from this address have failed: is the secret right?',
    ],
    [
      { kind: 'refused', status: 404 },
      'the gateway answered 404 to the tunnel: is this the address of a gateway?',
    ],
    [closed(1006), 'the connection ended (1006)'],
    [
      { kind: 'closed', code: 1001, reason: 'the gateway stops', upMs: 0 },
      'the connection ended (1001: the gateway stops)',
    ],
  ])('after %o', (ended, sentence) => {
    expect(explain(ended)).toBe(sentence)
  })
})
