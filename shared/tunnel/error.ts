/** What can go wrong in a tunnel: the error codes of SPEC.md, the close codes, and the error that carries them. */

/** Error codes of RESET and END; the numbers are the ones of RESET's payload. */
export const errorCodes = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL: 2,
  FLOW_CONTROL: 3,
  REFUSED: 4,
  CANCEL: 5,
  DEADLINE: 6,
  OVERLOADED: 7,
  TOO_LARGE: 8,
  NO_MODEL: 9,
  AUTH: 10,
  REPLACED: 11,
  DRAINING: 12,
  BACKEND_CRASH: 13,
  ENHANCE_CALM: 14,
  /** Never sent: what an end reports to its own callers when the connection is gone. */
  CONNECTION_LOST: 15,
} as const

export type ErrorCode = keyof typeof errorCodes

/** Whether `name` is one of the error code names. */
export const isErrorCode = (name: unknown): name is ErrorCode =>
  typeof name === 'string' && Object.hasOwn(errorCodes, name)

/** The name of a code that a peer sent; codes of later versions read as INTERNAL. */
export const errorCodeName = (code: number): ErrorCode =>
  Object.keys(errorCodes)
    .filter(isErrorCode)
    .find((name) => errorCodes[name] === code) ?? 'INTERNAL'

/** WebSocket close codes that burrow.1 uses (RFC 6455 section 7.4.2 leaves 4000 to 4999 to us). */
export const closeCodes = {
  NORMAL: 1000,
  GOING_AWAY: 1001,
  INTERNAL_ERROR: 1011,
  AUTH: 4001,
  PROTOCOL_ERROR: 4002,
  FLOW_CONTROL: 4003,
  TIMEOUT: 4008,
  REPLACED: 4009,
  STALLED: 4010,
  ENHANCE_CALM: 4011,
} as const

export type TunnelErrorOptions = {
  /** False only where the request provably did not run. Default true. */
  readonly mayHaveRun?: boolean
  readonly cause?: unknown
}

/** A failed exchange or a broken connection, with its code. */
export class TunnelError extends Error {
  override readonly name = 'TunnelError'
  readonly code: ErrorCode
  /** False only where the backend provably did not begin: such a request may be sent again. */
  readonly mayHaveRun: boolean

  constructor(code: ErrorCode, message: string, options: TunnelErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.mayHaveRun = options.mayHaveRun ?? true
  }
}
