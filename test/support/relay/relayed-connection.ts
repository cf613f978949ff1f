/** One connection through the relay: two sockets and a lane each way. */
import type { Socket } from 'node:net'
import { Lane } from './lane.ts'
import type { LinkShape } from './link-shape.ts'

/** `up` is from whoever dialled the relay to its target. */
export type Direction = 'up' | 'down'

export const directions: readonly Direction[] = ['up', 'down']

export type RelayedConnectionOptions = {
  readonly dialler: Socket
  readonly target: Socket
  readonly shape: (direction: Direction) => LinkShape
  readonly random: () => number
  readonly passed: (direction: Direction, numBytes: number) => void
  /** Both sockets are gone. */
  readonly closed: () => void
}

export class RelayedConnection {
  readonly #options: RelayedConnectionOptions
  readonly #lanes: Readonly<Record<Direction, Lane>>
  #idleTimer: ReturnType<typeof setTimeout> | undefined

  constructor(options: RelayedConnectionOptions) {
    const { dialler, target } = options
    this.#options = options
    this.#lanes = {
      up: this.#lane('up', dialler, target),
      down: this.#lane('down', target, dialler),
    }
    this.#propagateClose(dialler, target, this.#lanes.up)
    this.#propagateClose(target, dialler, this.#lanes.down)
    this.#watchIdle()
  }

  /** Loses all bytes of one direction, or of both, from now on; the sockets stay open. */
  blackhole(which: readonly Direction[] = directions): void {
    for (const direction of which) this.#lanes[direction].goDark()
  }

  hold(): void {
    for (const direction of directions) this.#lanes[direction].hold()
  }

  release(): void {
    for (const direction of directions) this.#lanes[direction].release()
  }

  /** Ends both sides with a FIN. What is under way is lost. */
  finish(): void {
    this.blackhole()
    this.#sockets.forEach((socket) => socket.end())
  }

  /** Ends both sides with a RST. */
  reset(): void {
    this.#sockets.forEach((socket) => socket.resetAndDestroy())
  }

  /** Ends both sides as a process that dies does. */
  cut(): void {
    this.#sockets.forEach((socket) => socket.destroy())
  }

  get #sockets(): readonly Socket[] {
    return [this.#options.dialler, this.#options.target]
  }

  #lane(direction: Direction, from: Socket, to: Socket): Lane {
    const { shape, random, passed } = this.#options
    return new Lane({
      from,
      to,
      random,
      shape: () => shape(direction),
      passed: (numBytes) => {
        passed(direction, numBytes)
        this.#idleTimer?.refresh()
      },
    })
  }

  #propagateClose(socket: Socket, other: Socket, lane: Lane): void {
    // 'close' follows and tells whether there was one.
    socket.on('error', () => {})
    socket.on('close', (hadError) => {
      if (hadError && !lane.isDark) other.resetAndDestroy()
      // A whole FIN has taken its way through the lane.
      else if (!socket.readableEnded && !lane.isDark) other.destroy()
      if (!other.destroyed) return
      clearTimeout(this.#idleTimer)
      this.#options.closed()
    })
  }

  /** The limit is that of the shape which held when the connection was made. */
  #watchIdle(): void {
    const { idleTimeoutMs } = this.#options.shape('up')
    if (idleTimeoutMs !== Infinity) {
      this.#idleTimer = setTimeout(() => this.blackhole(), idleTimeoutMs)
    }
  }
}
