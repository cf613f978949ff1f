/** What the owner of a gateway's session gives it: limits, who is let in, and who hears what. */
import type { Goaway, Status } from './control-message.ts'
import type { Challenge, Refusal } from './gateway-handshake.ts'
import type { Hello } from './hello.ts'
import type { LinkOptions } from './link.ts'
import type { SessionSnapshot } from './session-snapshot.ts'
import type { UsageReport } from './usage-message.ts'

export type GatewaySessionOptions = LinkOptions & {
  readonly sessionId: string
  /** Streams at once, unless the backend wants fewer. Default and most: `limits.streams`. */
  readonly maxStreams?: number
  /** Initial credit of each response body. Default `limits.responseWindowBytes`. */
  readonly windowBytes?: number
  /**
   * Initial credit of all response bodies together: what this connection may hold in memory.
   * Default `limits.responseConnectionWindowBytes`. Keep it well above `maxStreams` times
   * `windowBytes`: below, readers that stand still can stall all others; above, windows can grow.
   */
  readonly connectionWindowBytes?: number
  /** The first stream's id, odd. Default 1. */
  readonly firstStreamId?: number
  /** Whether this end sends PING while streams are open. Default true. */
  readonly pings?: boolean
  /** Whether the runtime answers text pings itself: an idle backend then sends no others. */
  readonly answersTextPing?: boolean
  /** Goes on after a sleep, without a handshake. Numbers and windows are the snapshot's. */
  readonly resume?: SessionSnapshot
  readonly challenge?: Challenge
  /**
   * The backend has said HELLO (and proved its key). A refusal closes the connection with its code
   * and sentence; streams may be opened from `onReady` on.
   */
  readonly onHello: (hello: Hello) => Refusal | void | Promise<Refusal | void>
  /** WELCOME is on its way: streams may be opened. */
  readonly onReady?: (hello: Hello) => void
  /** A fresh token. The owner verifies it, and closes with `closeCodes.AUTH` when it is bad. */
  readonly onAuth?: (token: string) => void
  readonly onStatus?: (status: Status) => void
  /** A final count from the backend's journal, to be entered once and then acknowledged. */
  readonly onUsage?: (report: UsageReport) => void
  /** The backend will stop; streams above `lastStreamId` have failed with DRAINING. */
  readonly onGoaway?: (goaway: Goaway) => void
  /** No stream is open, and what `snapshot()` says has changed: after WELCOME too. */
  readonly onIdle?: () => void
}
