/**
 * A TCP relay that behaves like a bad network, between a backend and its gateway or any other two:
 * slow, late, lossy, cut, or silent with its sockets open. The side that dials is below, its target
 * above: `up` is from a backend to its gateway.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { seededRandom } from '../../backend/engine/random.ts'
import { plainLink, type LinkShape } from './relay/link-shape.ts'
import { directions, RelayedConnection, type Direction } from './relay/relayed-connection.ts'
import { shrinkBuffers } from './relay/socket-buffers.ts'

export type RelayOptions = {
  /** Of both directions. */
  readonly shape?: Partial<LinkShape>
  /** The same seed gives the same numbers for jitter and loss. */
  readonly seed?: number
  /** Of the kernel's buffers on the relay's own sockets: small ones make writers wait. */
  readonly socketBufferBytes?: number
}

export class Relay {
  readonly port: number
  /** Bytes that came out at the other end. */
  readonly passed: Record<Direction, number> = { up: 0, down: 0 }
  /** Connections made so far; those that were swallowed or refused do not count. */
  numConnections = 0
  readonly #server: Server
  readonly #targetPort: number
  readonly #options: RelayOptions
  readonly #random: () => number
  readonly #connections = new Set<RelayedConnection>()
  /** Of those who dialled in the dark. */
  readonly #swallowed = new Set<Socket>()
  readonly #shapes: Record<Direction, LinkShape>
  #newcomers: 'pass' | 'swallow' | 'refuse' = 'pass'
  #stall: ReturnType<typeof setTimeout> | undefined

  /** @param server that listens; see `startRelay` */
  constructor(server: Server, targetPort: number, options: RelayOptions) {
    const random = seededRandom(options.seed ?? 1)
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    this.#targetPort = targetPort
    this.#options = options
    this.#random = () => random.next()
    this.#shapes = {
      up: { ...plainLink, ...options.shape },
      down: { ...plainLink, ...options.shape },
    }
    server.on('connection', (dialler: Socket) => this.#onConnection(dialler))
  }

  /** Connections whose two sockets are not both gone. */
  get numOpen(): number {
    return this.#connections.size
  }

  /** Changes what the network does, at once and on all connections (but for `idleTimeoutMs`: new ones). */
  reshape(shape: Partial<LinkShape>, which: readonly Direction[] = directions): void {
    for (const direction of which) {
      this.#shapes[direction] = { ...this.#shapes[direction], ...shape }
    }
  }

  /** Destroys both sides of every connection. */
  cut(): void {
    for (const connection of this.#connections) connection.cut()
    for (const socket of this.#swallowed) socket.destroy()
  }

  /** The same with a RST. */
  reset(): void {
    for (const connection of this.#connections) connection.reset()
    for (const socket of this.#swallowed) socket.resetAndDestroy()
  }

  /** The same with a FIN, in peace. */
  finish(): void {
    for (const connection of this.#connections) connection.finish()
    for (const socket of this.#swallowed) socket.end()
  }

  /**
   * From now on nothing passes (or nothing in one direction), and nobody is told: half-open
   * connections. Who dials meanwhile gets a socket and no answer.
   */
  blackhole(which: readonly Direction[] = directions): void {
    this.#newcomers = 'swallow'
    for (const connection of this.#connections) connection.blackhole(which)
  }

  /** From now on nobody can connect, as when the target's machine is up and its program is not. */
  refuse(): void {
    this.#newcomers = 'refuse'
  }

  /** New connections pass again; those that were swallowed stay so. */
  heal(): void {
    this.#newcomers = 'pass'
  }

  /** Nothing passes for `ms`, on new connections either; then all of it does. */
  stall(ms: number): void {
    for (const connection of this.#connections) connection.hold()
    clearTimeout(this.#stall)
    this.#stall = setTimeout(() => {
      this.#stall = undefined
      for (const connection of this.#connections) connection.release()
    }, ms)
  }

  async close(): Promise<void> {
    clearTimeout(this.#stall)
    this.#newcomers = 'refuse'
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #onConnection(dialler: Socket): void {
    if (this.#newcomers === 'refuse') {
      dialler.resetAndDestroy()
    } else if (this.#newcomers === 'swallow') {
      this.#swallowed.add(dialler)
      dialler.on('error', () => {})
      dialler.on('end', () => dialler.destroy())
      dialler.on('close', () => this.#swallowed.delete(dialler))
      dialler.resume()
    } else {
      this.#relay(dialler)
    }
  }

  #relay(dialler: Socket): void {
    this.numConnections++
    const { socketBufferBytes } = this.#options
    const target = connect({
      port: this.#targetPort,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    })
    if (socketBufferBytes) {
      target.once('connect', () => shrinkBuffers(target, socketBufferBytes))
    }
    const connection: RelayedConnection = new RelayedConnection({
      dialler,
      target,
      shape: (direction) => this.#shapes[direction],
      random: this.#random,
      passed: (direction, numBytes) => {
        this.passed[direction] += numBytes
      },
      closed: () => this.#connections.delete(connection),
    })
    if (this.#stall) connection.hold()
    this.#connections.add(connection)
  }
}

/** Listens on a free port of 127.0.0.1 and relays to `targetPort` there. */
export const startRelay = async (
  targetPort: number,
  options: RelayOptions = {},
): Promise<Relay> => {
  // With half-open sockets, so that a FIN passes as one and in its turn.
  const server = createServer({ allowHalfOpen: true, noDelay: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  if (options.socketBufferBytes) shrinkBuffers(server, options.socketBufferBytes)
  return new Relay(server, targetPort, options)
}
