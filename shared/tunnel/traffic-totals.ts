/** What went through all connections with each peer, those included that have ended. */
import type { ResetCounts, TunnelCounters } from './counters.ts'
import { closeCodes } from './error.ts'
import type { Closed } from './link.ts'

/** All numbers only grow, whatever connections come and go. */
export type PeerTotals = {
  /** Connections that were ever let in. */
  readonly connects: number
  /** How those that have ended did, by the close code's name, else `OTHER`. */
  readonly closes: Counts<string>
  readonly counters: TunnelCounters
}

type CountedSession = {
  readonly counters: TunnelCounters
  readonly closed: Promise<Closed>
}

/** Peers whose connections have all ended: above, the one that left first is added to `others`. */
const maxAway = 1_000

/** Stands for all peers that were here too long ago. No backend's name begins so. */
export const otherPeers = '(others)'

export class TrafficTotals {
  readonly #ended = new Map<string, PeerTotals>() // the one that left first comes first
  readonly #live = new Map<string, Set<CountedSession>>()
  readonly #maxAway: number

  constructor(away = maxAway) {
    this.#maxAway = away
  }

  /** The peer has a new connection. */
  connected(peer: string, session: CountedSession): void {
    const live = this.#live.get(peer) ?? new Set()
    this.#live.set(peer, live.add(session))
    void session.closed.then((closed) => this.#onClosed(peer, live, session, closed))
  }

  /** By peer: everybody who is here, and those who were. */
  totals(): ReadonlyMap<string, PeerTotals> {
    const totals = new Map(this.#ended)
    for (const [peer, sessions] of this.#live) {
      const counters = [...sessions].map((session) => session.counters)
      const live = { connects: sessions.size, closes: {}, counters: counters.reduce(sum, none) }
      totals.set(peer, added(totals.get(peer), live))
    }
    return totals
  }

  #onClosed(
    peer: string,
    live: Set<CountedSession>,
    session: CountedSession,
    { code }: Closed,
  ): void {
    live.delete(session)
    if (live.size === 0) this.#live.delete(peer)
    const closes = { [closeName(code)]: 1 }
    this.#end(peer, { connects: 1, closes, counters: session.counters })
    for (const [away, totals] of this.#ended) {
      if (this.#ended.size <= this.#maxAway) break
      if (away === otherPeers || this.#live.has(away)) continue
      this.#ended.delete(away)
      this.#end(otherPeers, totals)
    }
  }

  #end(peer: string, totals: PeerTotals): void {
    const before = this.#ended.get(peer)
    this.#ended.delete(peer)
    this.#ended.set(peer, added(before, totals))
  }
}

const closeNames = new Map<number, string>(
  Object.entries(closeCodes).map(([name, code]) => [code, name]),
)

/** A peer may close with any code: labels may not. */
const closeName = (code: number): string => closeNames.get(code) ?? 'OTHER'

const added = (a: PeerTotals | undefined, b: PeerTotals): PeerTotals =>
  a
    ? {
        connects: a.connects + b.connects,
        closes: addedCounts(a.closes, b.closes),
        counters: sum(a.counters, b.counters),
      }
    : b

type Counts<Key extends string> = Readonly<Partial<Record<Key, number>>>

const addedCounts = <Key extends string>(a: Counts<Key>, b: Counts<Key>): Counts<Key> => {
  const counts: Partial<Record<Key, number>> = { ...a }
  for (const key in b) counts[key] = (counts[key] ?? 0) + (b[key] ?? 0)
  return counts
}

const noResets: ResetCounts = {}

const none: TunnelCounters = {
  streamsOpened: 0,
  resetsSent: noResets,
  resetsReceived: noResets,
  streamWindowStalls: 0,
  connectionWindowStalls: 0,
  messagesSent: 0,
  messagesReceived: 0,
  framesSent: 0,
  framesReceived: 0,
  bytesSent: 0,
  bytesReceived: 0,
}

const sum = (a: TunnelCounters, b: TunnelCounters): TunnelCounters => ({
  streamsOpened: a.streamsOpened + b.streamsOpened,
  resetsSent: addedCounts(a.resetsSent, b.resetsSent),
  resetsReceived: addedCounts(a.resetsReceived, b.resetsReceived),
  streamWindowStalls: a.streamWindowStalls + b.streamWindowStalls,
  connectionWindowStalls: a.connectionWindowStalls + b.connectionWindowStalls,
  messagesSent: a.messagesSent + b.messagesSent,
  messagesReceived: a.messagesReceived + b.messagesReceived,
  framesSent: a.framesSent + b.framesSent,
  framesReceived: a.framesReceived + b.framesReceived,
  bytesSent: a.bytesSent + b.bytesSent,
  bytesReceived: a.bytesReceived + b.bytesReceived,
})
