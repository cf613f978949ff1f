/** How one connection of a tunnel is, as either end tells its operator: plain JSON. */
import type { TunnelCounters } from './counters.ts'
import { limits, type Timing } from './limits.ts'

/**
 * `silent`: nothing comes although it should; `stalled`: nothing leaves; `draining`: it gets no new
 * streams. The first that holds.
 */
export const connectionStates = ['silent', 'stalled', 'draining', 'ready'] as const
export type ConnectionState = (typeof connectionStates)[number]

export type ConnectionReport = {
  readonly connectionIndex: number
  /** The number of this connection within the backend's process. */
  readonly generation: number
  readonly state: ConnectionState
  /** Smoothed, ms; null before it is known. */
  readonly roundTripMs: number | null
  readonly openStreams: number
  /** Handed to the socket and not yet passed on; 0 where the runtime cannot say. */
  readonly bufferedBytes: number
  /** ms since 1970. */
  readonly connectedAtMs: number
  /** Since this end has known the connection. */
  readonly counters: TunnelCounters
}

/** A peer with its connections: a backend at the gateway, a gateway at the backend. */
export type PeerReport = {
  readonly name: string
  readonly connections: readonly ConnectionReport[]
  /** Why there are fewer connections than there should be, as far as this end knows. */
  readonly problem?: string
}

/** What either session says of itself. */
export type ReportedSession = Pick<
  ConnectionReport,
  'openStreams' | 'bufferedBytes' | 'counters'
> & {
  readonly roundTripMs: number | undefined
  readonly silentMs: number
  readonly isDraining: boolean
}

/** A healthy peer's PINGs may be so much later than their interval: jitter, and a slow network. */
const lateBy = 1.2
const lateMs = 1_000

/** @param watchIdle whether an idle connection has to be heard of */
export const connectionState = (
  session: Omit<ReportedSession, 'counters' | 'roundTripMs'>,
  timing: Timing,
  watchIdle = true,
): ConnectionState => {
  const isBusy = session.openStreams > 0
  const pingMs = isBusy ? timing.busyPingMs : timing.pingMs
  if ((isBusy || watchIdle) && session.silentMs > pingMs * lateBy + lateMs) return 'silent'
  if (session.bufferedBytes > limits.transportHighWaterBytes) return 'stalled'
  return session.isDraining ? 'draining' : 'ready'
}

export const reportConnection = (
  session: ReportedSession,
  about: Pick<ConnectionReport, 'connectionIndex' | 'generation' | 'state' | 'connectedAtMs'>,
): ConnectionReport => ({
  ...about,
  roundTripMs: session.roundTripMs ?? null,
  openStreams: session.openStreams,
  bufferedBytes: session.bufferedBytes,
  counters: session.counters,
})
