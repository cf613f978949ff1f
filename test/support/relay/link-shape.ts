/** What a network does to the bytes of one direction. */
export type LinkShape = {
  /** One way: a round trip takes twice as long. */
  readonly delayMs: number
  /** Up to so much more for each segment, by chance. Order is kept, as TCP keeps it. */
  readonly jitterMs: number
  readonly bytesPerSecond: number
  /** What travels, and gets lost, in one piece. */
  readonly segmentBytes: number
  /** Share of segments that must be sent again. TCP hides it: all that comes behind one waits. */
  readonly loss: number
  /** How long a lost segment and all behind it wait. */
  readonly retransmitMs: number
  /** A connection that carried nothing for so long is forgotten, as by a NAT: nobody is told. */
  readonly idleTimeoutMs: number
  /** Bytes that may be under way; more stay in the sender's socket. */
  readonly bufferBytes: number
}

/** As fast as the machine. */
export const plainLink: LinkShape = {
  delayMs: 0,
  jitterMs: 0,
  bytesPerSecond: Infinity,
  segmentBytes: 64 * 1024,
  loss: 0,
  retransmitMs: 0,
  idleTimeoutMs: Infinity,
  bufferBytes: 1024 * 1024,
}
