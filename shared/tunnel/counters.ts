/** What a session counts for metrics. Numbers only grow. */
import type { ErrorCode } from './error.ts'

export type ResetCounts = Readonly<Partial<Record<ErrorCode, number>>>

/** A snapshot; all numbers since the connection began. */
export type TunnelCounters = {
  readonly streamsOpened: number
  /** RESET frames by reason. */
  readonly resetsSent: ResetCounts
  readonly resetsReceived: ResetCounts
  /** How often a stream had data and no credit of its own. */
  readonly streamWindowStalls: number
  /** How often a stream had data and its own credit, but the connection had none. */
  readonly connectionWindowStalls: number
  readonly messagesSent: number
  readonly messagesReceived: number
  readonly framesSent: number
  readonly framesReceived: number
  /** Whole messages, frame headers included. */
  readonly bytesSent: number
  readonly bytesReceived: number
}

export class Counters {
  streamsOpened = 0
  streamWindowStalls = 0
  connectionWindowStalls = 0
  messagesSent = 0
  messagesReceived = 0
  framesSent = 0
  framesReceived = 0
  bytesSent = 0
  bytesReceived = 0
  readonly #resetsSent: Partial<Record<ErrorCode, number>> = {}
  readonly #resetsReceived: Partial<Record<ErrorCode, number>> = {}

  resetSent(code: ErrorCode): void {
    this.#resetsSent[code] = (this.#resetsSent[code] ?? 0) + 1
  }

  resetReceived(code: ErrorCode): void {
    this.#resetsReceived[code] = (this.#resetsReceived[code] ?? 0) + 1
  }

  snapshot(): TunnelCounters {
    return {
      streamsOpened: this.streamsOpened,
      resetsSent: { ...this.#resetsSent },
      resetsReceived: { ...this.#resetsReceived },
      streamWindowStalls: this.streamWindowStalls,
      connectionWindowStalls: this.connectionWindowStalls,
      messagesSent: this.messagesSent,
      messagesReceived: this.messagesReceived,
      framesSent: this.framesSent,
      framesReceived: this.framesReceived,
      bytesSent: this.bytesSent,
      bytesReceived: this.bytesReceived,
    }
  }
}
