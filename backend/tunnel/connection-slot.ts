/**
 * One of a tunnel's connections: dialled, dialled again when it is lost, and replaced before it ends
 * when the gateway asks for that.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../shared/log.ts'
import type { ConnectionReport } from '../../shared/tunnel/connection-report.ts'
import type { Goaway } from '../../shared/tunnel/control-message.ts'
import type { Connection } from './connection.ts'
import { explain, nextRetry, type Ended } from './retry.ts'

/** What a connection tells the slot that dialled it. */
export type ConnectionEvents = {
  readonly onWelcome: () => void
  readonly onGoaway: (goaway: Goaway) => void
}

export type ConnectionSlotOptions = {
  readonly connectionIndex: number
  /** Starts one attempt. */
  readonly connect: (events: ConnectionEvents) => Promise<Connection>
  readonly log: Log
  /** Numbers in [0, 1) that spread the retries. */
  readonly random: () => number
  /** The gateway has let a connection in, the first or a later one. */
  readonly onWelcome: () => void
}

/** Why a slot dials no more: it was closed, or another process has taken the backend's place. */
export type SlotEnd =
  | { readonly kind: 'closed' }
  | { readonly kind: 'replaced'; readonly reason: string }

/** A connection on which the gateway opens no more streams. */
type Leaving = { readonly connection: Connection; readonly deadline: number }

/** More of them are the work of a gateway that says GOAWAY without end. */
const maxLeaving = 4

/** A gateway that stops asks all its backends at once: they need not all come at once. */
const replaceWithinMs = 500

export class ConnectionSlot {
  /** Resolves when the slot dials no more. */
  readonly ended: Promise<SlotEnd>
  readonly #options: ConnectionSlotOptions
  readonly #stop = new AbortController()
  readonly #leaving = new Set<Leaving>() // the longest there first
  #current: Connection | undefined
  #problem: string | undefined

  constructor(options: ConnectionSlotOptions) {
    this.#options = options
    this.ended = this.#run()
  }

  /** Streams that are not over yet. */
  get openStreams(): number {
    return this.#connections.reduce((sum, { openStreams }) => sum + openStreams, 0)
  }

  /** Those that are in. */
  report(): ConnectionReport[] {
    return this.#connections
      .map((connection) => connection.report())
      .filter((report) => report !== null)
  }

  /** Why the last connection or attempt ended; undefined while one is in. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Dials no more, and lets what runs finish for up to `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#connections.map((connection) => connection.close(graceMs)))
    await this.ended
  }

  get #connections(): Connection[] {
    const leaving = [...this.#leaving].map(({ connection }) => connection)
    return this.#current ? [this.#current, ...leaving] : leaving
  }

  async #run(): Promise<SlotEnd> {
    const { connectionIndex, log, random } = this.#options
    const { signal } = this.#stop
    let numFailures = 0
    while (!signal.aborted) {
      const ended = await this.#live()
      if (signal.aborted) break
      let delayMs = random() * replaceWithinMs
      if (ended === 'to be replaced') {
        numFailures = 0
      } else {
        const retry = nextRetry(ended, numFailures, random())
        if (!retry) return { kind: 'replaced', reason: explain(ended) }
        ;({ delayMs, numFailures } = retry)
        const reason = explain(ended)
        this.#problem = reason
        log.warn('tunnel down', { connection: connectionIndex, reason, retryInMs: delayMs })
      }
      // Aborted by close(): the loop's condition ends it.
      await sleep(delayMs, undefined, { signal }).catch(() => {})
    }
    return { kind: 'closed' }
  }

  /** One connection, until it is over or the gateway wants another. */
  async #live(): Promise<Ended | 'to be replaced'> {
    const { connect, onWelcome } = this.#options
    const { promise, resolve } = Promise.withResolvers<'to be replaced'>()
    try {
      const connection: Connection = await connect({
        onWelcome: () => {
          this.#problem = undefined
          this.#letLeave()
          onWelcome()
        },
        onGoaway: ({ code, deadlineMs }) => {
          // Replaced, it has a successor already; asked again, it will have.
          if (code === 'REPLACED' || this.#current !== connection) return
          if (this.#stop.signal.aborted) return
          this.#retire(connection, deadlineMs)
          resolve('to be replaced')
        },
      })
      this.#current = connection
      if (this.#stop.signal.aborted) await connection.close(0)
      return await Promise.race([connection.ended, promise])
    } catch (error) {
      return { kind: 'unreachable', reason: String(error) }
    } finally {
      this.#current = undefined
    }
  }

  /** It stays until the next one is there: what runs on it goes on. */
  #retire(connection: Connection, deadlineMs: number): void {
    const leaving = { connection, deadline: performance.now() + deadlineMs }
    this.#current = undefined
    this.#leaving.add(leaving)
    void connection.ended.then(() => this.#leaving.delete(leaving))
    const [longest] = this.#leaving
    if (longest && this.#leaving.size > maxLeaving) void longest.connection.close(0)
  }

  /** The next one is there. */
  #letLeave(): void {
    for (const { connection, deadline } of this.#leaving) {
      void connection.close(Math.max(0, deadline - performance.now()))
    }
  }
}
