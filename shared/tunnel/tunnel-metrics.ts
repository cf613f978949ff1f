/** The tunnel's metrics, alike at both ends: each labels its own with the peer. */
import { renderMetrics, type Labels, type Metric, type Sample } from '../prometheus.ts'
import type { ResetCounts } from './counters.ts'
import { connectionStates, type ConnectionReport, type PeerReport } from './connection-report.ts'
import { otherPeers, type PeerTotals } from './traffic-totals.ts'

export type TunnelMetricsOptions = {
  /** What this end is; its peers are the others. */
  readonly side: 'gateway' | 'backend'
  /** Who is connected now. */
  readonly peers: readonly PeerReport[]
  readonly totals: ReadonlyMap<string, PeerTotals>
}

/** @returns Prometheus' text format */
export const tunnelMetrics = ({ side, peers, totals }: TunnelMetricsOptions): string => {
  const peerSide = side === 'gateway' ? 'backend' : 'gateway'
  /** Of each peer that was ever here. */
  const counted = (samples: (totals: PeerTotals) => readonly Sample[]): Sample[] =>
    [...totals].flatMap(([name, peer]) => samples(peer).map(withPeer(name)))
  const known = allKnown(peers, totals)
  const gauged = (samples: (peer: PeerReport) => readonly Sample[]): Sample[] =>
    known.flatMap((peer) => samples(peer).map(withPeer(peer.name)))
  const withPeer =
    (name: string) =>
    ({ labels, value }: Sample): Sample => ({ labels: { [peerSide]: name, ...labels }, value })

  const metrics: Metric[] = [
    {
      name: 'burrow_tunnel_connections',
      help: 'Connections that are open, by state.',
      type: 'gauge',
      samples: gauged(({ connections }) =>
        connectionStates.map((state) =>
          sample({ state }, connections.filter((held) => held.state === state).length),
        ),
      ),
    },
    {
      name: 'burrow_tunnel_generation',
      help: "The newest connection's number within the backend's process.",
      type: 'gauge',
      samples: gauged((peer) => newest(peer).map((held) => sample(indexOf(held), held.generation))),
    },
    {
      name: 'burrow_tunnel_round_trip_seconds',
      help: 'Smoothed round trip of the newest connection, once it is known.',
      type: 'gauge',
      samples: gauged((peer) =>
        newest(peer).flatMap((held) =>
          held.roundTripMs === null ? [] : [sample(indexOf(held), held.roundTripMs / 1000)],
        ),
      ),
    },
    {
      name: 'burrow_tunnel_streams_open',
      help: 'Streams that are not over yet.',
      type: 'gauge',
      samples: gauged(({ connections }) => [total(connections, (held) => held.openStreams)]),
    },
    {
      name: 'burrow_tunnel_buffered_bytes',
      help: 'Bytes handed to sockets and not yet passed on.',
      type: 'gauge',
      samples: gauged(({ connections }) => [total(connections, (held) => held.bufferedBytes)]),
    },
    {
      name: 'burrow_tunnel_connects_total',
      help: 'Connections that were let in.',
      type: 'counter',
      samples: counted(({ connects }) => [sample({}, connects)]),
    },
    {
      name: 'burrow_tunnel_closes_total',
      help: 'Connections that have ended, by the name of the WebSocket close code.',
      type: 'counter',
      samples: counted(({ closes }) =>
        Object.entries(closes).map(([reason, count = 0]) => sample({ reason }, count)),
      ),
    },
    {
      name: 'burrow_tunnel_streams_total',
      help: 'Streams that were opened.',
      type: 'counter',
      samples: counted(({ counters }) => [sample({}, counters.streamsOpened)]),
    },
    {
      name: 'burrow_tunnel_bytes_total',
      help: 'Bytes of WebSocket messages, frame headers included.',
      type: 'counter',
      samples: counted(({ counters }) => bothWays(counters.bytesSent, counters.bytesReceived)),
    },
    {
      name: 'burrow_tunnel_messages_total',
      help: 'WebSocket messages.',
      type: 'counter',
      samples: counted(({ counters }) =>
        bothWays(counters.messagesSent, counters.messagesReceived),
      ),
    },
    {
      name: 'burrow_tunnel_frames_total',
      help: 'Frames in those messages.',
      type: 'counter',
      samples: counted(({ counters }) => bothWays(counters.framesSent, counters.framesReceived)),
    },
    {
      name: 'burrow_tunnel_resets_total',
      help: 'RESET frames, by reason and by the end that sent them.',
      type: 'counter',
      samples: counted(({ counters: { resetsSent, resetsReceived } }) => [
        ...resets(resetsSent, side),
        ...resets(resetsReceived, peerSide),
      ]),
    },
    {
      name: 'burrow_tunnel_window_stalls_total',
      help: 'How often a stream of this end had data to send, and the stream or the connection no credit.',
      type: 'counter',
      samples: counted(({ counters }) => [
        sample({ window: 'stream' }, counters.streamWindowStalls),
        sample({ window: 'connection' }, counters.connectionWindowStalls),
      ]),
    },
  ]
  return renderMetrics(metrics)
}

/** Each name once, and those who are away too: their gauges are 0, and not gone. */
const allKnown = (
  peers: readonly PeerReport[],
  totals: ReadonlyMap<string, PeerTotals>,
): PeerReport[] => {
  const connections = new Map<string, readonly ConnectionReport[]>()
  for (const name of totals.keys()) if (name !== otherPeers) connections.set(name, [])
  for (const peer of peers) {
    connections.set(peer.name, [...(connections.get(peer.name) ?? []), ...peer.connections])
  }
  return [...connections].map(([name, held]) => ({ name, connections: held }))
}

const sample = (labels: Labels, value: number): Sample => ({ labels, value })

const total = (
  connections: readonly ConnectionReport[],
  of: (connection: ConnectionReport) => number,
): Sample =>
  sample(
    {},
    connections.reduce((sum, connection) => sum + of(connection), 0),
  )

const bothWays = (sent: number, received: number): Sample[] => [
  sample({ direction: 'sent' }, sent),
  sample({ direction: 'received' }, received),
]

const resets = (counts: ResetCounts, by: string): Sample[] =>
  Object.entries(counts).map(([reason, count]) => sample({ reason, by }, count))

const indexOf = ({ connectionIndex }: ConnectionReport): Labels => ({
  connection: String(connectionIndex),
})

/** Of each index: one that drains may finish beside its successor. */
const newest = ({ connections }: PeerReport): ConnectionReport[] => {
  const byIndex = new Map<number, ConnectionReport>()
  for (const connection of connections) {
    const { connectionIndex, connectedAtMs } = connection
    const other = byIndex.get(connectionIndex)
    if (!other || connectedAtMs > other.connectedAtMs) byIndex.set(connectionIndex, connection)
  }
  return [...byIndex.values()]
}
