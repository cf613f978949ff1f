/** `burrow tunnel status`: whom it asks, and what it prints. */
import { resolve } from 'node:path'
import { readFlag, type FlagValues } from '../../shared/flags.ts'
import { isFields } from '../../shared/parse.ts'
import type { ConnectionReport, PeerReport } from '../../shared/tunnel/connection-report.ts'
import { gatewayFlags } from '../flags.ts'
import { isListening } from './open-admin.ts'
import type { AdminCall } from './remote-admin.ts'
import { socketCall } from './socket-call.ts'
import { controlSocketPath } from './socket-path.ts'
import { table } from './table.ts'
import { chosenWebCall } from './web-call.ts'

/** A backend's process and its gateways. */
export type RunningBackend = { readonly pid: number; readonly gateways: readonly PeerReport[] }

/** The backends that run in a data directory by themselves. */
export type AskBackends = (home: string) => Promise<readonly RunningBackend[]>

/**
 * Asks the gateway that `--gateway` names, else what runs in the data directory.
 * @param words what is no flag: `status`
 * @returns what to print
 * @throws Error that says what is wrong
 */
export const tunnelCommand = async (
  words: readonly string[],
  flags: FlagValues,
  env: FlagValues,
  askBackends: AskBackends,
): Promise<string> => {
  if (words.length !== 1 || words[0] !== 'status') {
    throw new Error('burrow tunnel takes status: see burrow --help')
  }
  const call = chosenWebCall(flags, env)
  const home = resolve(readFlag(gatewayFlags, 'home', flags, env) ?? gatewayFlags.home.fallback)
  const socketPath = controlSocketPath(home)
  const gateway = call
    ? await askGateway(call)
    : (await isListening(socketPath))
      ? await askGateway(socketCall(socketPath))
      : null
  const backends = call ? [] : await askBackends(home)
  if (!gateway && backends.length === 0) {
    throw new Error(
      `nothing runs in ${home}: give the --home of a gateway or backend, or --gateway`,
    )
  }
  if (flags['json'] !== undefined) {
    return JSON.stringify({ gateway: gateway && { backends: gateway }, backends })
  }
  const texts = backends.map(backendText)
  return [...(gateway ? [gatewayText(gateway)] : []), ...texts].join('\n\n')
}

const askGateway = async (call: AdminCall): Promise<readonly PeerReport[]> => {
  const { status, value } = await call('GET', '/tunnel')
  const { error, backends } = isFields(value) ? value : {}
  if (status === 200 && isPeers(backends)) return backends
  if (status !== 200 && status !== 404 && isFields(error)) throw new Error(String(error['message']))
  throw new Error('the running gateway is of another version: restart it')
}

/** Ours by the same version's hand: enough is looked at to tell another version's. */
const isPeers = (value: unknown): value is readonly PeerReport[] =>
  Array.isArray(value) &&
  value.every((peer) => isFields(peer) && Array.isArray(peer['connections']))

const gatewayText = (backends: readonly PeerReport[]): string =>
  backends.length === 0
    ? 'The gateway runs. No backend is connected.'
    : connectionTable('backend', backends)

const backendText = ({ pid, gateways }: RunningBackend): string => {
  const away = gateways
    .filter(({ connections }) => connections.length === 0)
    .map(({ name, problem }) => `Not connected to ${name}${problem ? `: ${problem}` : ' yet'}.`)
  const connected = gateways.filter(({ connections }) => connections.length > 0)
  const held = connected.length > 0 ? [connectionTable('gateway', connected)] : []
  return [`Backend, process ${pid}`, ...held, ...away].join('\n')
}

const connectionTable = (peerKind: string, peers: readonly PeerReport[]): string =>
  table(
    [peerKind, ...columns],
    peers.flatMap(({ name, connections }) =>
      connections.map((connection) => [name, ...connectionRow(connection)]),
    ),
  )

const columns = [
  'connection',
  'generation',
  'state',
  'round trip',
  'open',
  'streams',
  'received',
  'sent',
  'stalls',
  'buffered',
  'connected since',
  'resets',
]

const connectionRow = (connection: ConnectionReport): string[] => {
  const { counters, roundTripMs } = connection
  return [
    String(connection.connectionIndex),
    String(connection.generation),
    connection.state,
    roundTripMs === null ? '-' : `${roundTripMs.toFixed(1)} ms`,
    String(connection.openStreams),
    String(counters.streamsOpened),
    byteText(counters.bytesReceived),
    byteText(counters.bytesSent),
    String(counters.streamWindowStalls + counters.connectionWindowStalls),
    byteText(connection.bufferedBytes),
    `${new Date(connection.connectedAtMs).toISOString().slice(0, 19)}Z`,
    resetText(connection),
  ]
}

/** `2 CANCEL sent, 1 OVERLOADED received`. */
const resetText = ({ counters: { resetsSent, resetsReceived } }: ConnectionReport): string => {
  const told = (counts: object, how: string) =>
    Object.entries(counts).map(([reason, count]) => `${count} ${reason} ${how}`)
  return [...told(resetsSent, 'sent'), ...told(resetsReceived, 'received')].join(', ') || '-'
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

const byteText = (bytes: number): string => {
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`
}
