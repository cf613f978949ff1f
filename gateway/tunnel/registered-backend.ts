/** A backend with all its connections: which of them hold, and which one a request goes to. */
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { PeerReport } from '../../shared/tunnel/connection-report.ts'
import type { Status } from '../../shared/tunnel/control-message.ts'
import type { Exchange, OpenRequest } from '../../shared/tunnel/exchange.ts'
import { limits } from '../../shared/tunnel/limits.ts'
import type { BackendConnection, BackendIdentity, ConnectedBackend } from './backend-connection.ts'
import { BackendLoad } from './backend-load.ts'
import { displacedBy } from './displaced.ts'

export type Wanted = (connection: BackendConnection) => boolean

/** More of them are the work of somebody who dials without end. */
const maxLeaving = 2 * limits.connections

export class RegisteredBackend implements ConnectedBackend {
  readonly backendId: string
  readonly name: string
  readonly load = new BackendLoad()
  /** Grows with each request: for taking turns. */
  lastChosen = 0
  readonly #held = new Map<number, BackendConnection>() // by connection index
  /** Displaced while they drained: their streams finish. The longest there first. */
  readonly #leaving = new Set<BackendConnection>()
  #finished = Promise.withResolvers<void>()
  /** The process that gets no more requests. */
  #drainedInstance: string | undefined

  /** @param drainedInstance see there; of a backend that was gone for a while */
  constructor({ backendId, name }: BackendIdentity, drainedInstance?: string) {
    this.backendId = backendId
    this.name = name
    this.#drainedInstance = drainedInstance
  }

  /** The process that an operator drained; undefined where none was. */
  get drainedInstance(): string | undefined {
    return this.#drainedInstance
  }

  /** All that are open, those that hold first. */
  get connections(): readonly BackendConnection[] {
    return [...this.#held.values(), ...this.#leaving]
  }

  get isGone(): boolean {
    return this.#held.size === 0 && this.#leaving.size === 0
  }

  get models(): readonly string[] {
    return [...new Set(this.connections.flatMap(({ hello }) => hello.models))]
  }

  /** Names of the HTTP services that it exposes. */
  get services(): readonly string[] {
    return [...new Set(this.connections.flatMap(({ hello }) => hello.services))]
  }

  get connectedAtMs(): number {
    return Math.min(...this.connections.map(({ connectedAtMs }) => connectedAtMs))
  }

  get openStreams(): number {
    return this.connections.reduce((sum, { openStreams }) => sum + openStreams, 0)
  }

  /** Its latest STATUS. */
  get status(): Status | undefined {
    return this.load.status
  }

  /** Whether it gets no new requests: it leaves, or an operator wants it to. */
  get isDraining(): boolean {
    return this.connections.every((connection) => !this.#takesRequests(connection))
  }

  /** On the connection with the most room. */
  open(request: OpenRequest, expectedTokens?: number): Exchange {
    const [any] = this.connections
    const connection = this.pick(() => true) ?? any
    if (!connection) throw new Error('a backend without connections')
    return connection.open(request, expectedTokens)
  }

  /** On whichever connection is there. */
  acknowledgeUsage(requestIds: readonly string[]): void {
    this.connections[0]?.acknowledgeUsage(requestIds)
  }

  /**
   * Takes a new connection in, and closes those that give way to it: at once, without waiting for
   * anything of theirs, except for those that drain.
   * @returns false when it is late itself, and closed
   */
  add(connection: BackendConnection): boolean {
    const { hello, session } = connection
    const displaced = displacedBy(hello, [...this.#held.values()])
    if (!displaced) {
      session.close(closeCodes.REPLACED, 'a newer connection of this backend is there')
      return false
    }
    for (const old of displaced) this.#displace(old)
    this.#held.set(hello.connectionIndex, connection)
    return true
  }

  /** The connection's last stream is over. */
  idle(connection: BackendConnection): void {
    if (this.#leaving.has(connection)) replace(connection)
    this.#checkFinished()
  }

  /** It is closed. */
  remove(connection: BackendConnection): void {
    const { connectionIndex } = connection.hello
    if (this.#held.get(connectionIndex) === connection) this.#held.delete(connectionIndex)
    this.#leaving.delete(connection)
    this.#checkFinished()
  }

  report(): PeerReport {
    const connections = this.connections.map((connection) => {
      const report = connection.report()
      const isDrained = report.state === 'ready' && !this.#takesRequests(connection)
      return isDrained ? { ...report, state: 'draining' as const } : report
    })
    return { name: this.name, connections }
  }

  /** Resolves when it has no stream open, or no connection. */
  async finished(): Promise<void> {
    if (this.openStreams > 0) await this.#finished.promise
  }

  /** A connection for one more request, the one with the fewest streams; null when none has room. */
  pick(isWanted: Wanted): BackendConnection | null {
    let best: BackendConnection | null = null
    for (const connection of this.#held.values()) {
      const isUsable = this.#takesRequests(connection) && connection.hasRoom && isWanted(connection)
      if (isUsable && (best === null || isBetter(connection, best))) best = connection
    }
    return best
  }

  /** The running process gets no more requests, on whichever connections; the next one does again. */
  drain(): void {
    const [connection] = this.connections
    this.#drainedInstance = connection?.hello.instanceId
  }

  #checkFinished(): void {
    if (this.openStreams > 0) return
    this.#finished.resolve()
    this.#finished = Promise.withResolvers()
  }

  #displace(old: BackendConnection): void {
    const isBusy = !this.#takesRequests(old) && old.openStreams > 0
    this.#held.delete(old.hello.connectionIndex)
    this.#leaving.add(old)
    if (!isBusy) replace(old)
    const [longest] = this.#leaving
    if (longest && this.#leaving.size > maxLeaving) replace(longest)
  }

  #takesRequests({ isDraining, hello }: BackendConnection): boolean {
    return !isDraining && hello.instanceId !== this.#drainedInstance
  }
}

const isBetter = (a: BackendConnection, b: BackendConnection): boolean =>
  a.isDoubtful === b.isDoubtful ? a.openStreams < b.openStreams : b.isDoubtful

const replace = ({ session }: BackendConnection): void => {
  const message = 'a newer connection of this backend has come'
  session.goaway({ code: 'REPLACED', deadlineMs: 0, message })
  session.close(closeCodes.REPLACED, message)
}
