/** Keeps a backend connected to its gateway: dials, serves, and dials again until it is closed. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isLoopback } from '../../shared/loopback.ts'
import type { Log } from '../../shared/log.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { defaultTiming, limits, type Timing } from '../../shared/tunnel/limits.ts'
import { Connection } from './connection.ts'
import { explain, nextRetry } from './retry.ts'

export type DialOptions = {
  /** The gateway's tunnel, e.g. `wss://gateway.example/tunnel`; plain `ws://` to this machine only. */
  readonly url: string
  /** The backend token. Never logged. */
  readonly token: string
  /** Served model names. */
  readonly models: readonly string[]
  readonly handler: TunnelHandler
  readonly log: Log
  /** Names this process; a new one for each start. Default a random UUID. */
  readonly instanceId?: string
  /** Requests at once. Default and most: 256. */
  readonly maxStreams?: number
  readonly timing?: Timing
  /** Numbers in [0, 1) that spread the retries. */
  readonly random?: () => number
}

export interface Tunnel {
  /** Resolves with the first welcome; rejects if the tunnel ended before. */
  readonly connected: Promise<void>
  /** Resolves when the tunnel is not dialled again: it was closed, or another backend replaced it. */
  readonly ended: Promise<'closed' | 'replaced'>
  /** Refuses new requests, gives running ones up to `graceMs` (default 30 s), closes. Idempotent. */
  close(graceMs?: number): Promise<void>
}

const defaultGraceMs = 30_000

/** @throws Error that says what to change when the address is no tunnel's */
export const parseTunnelUrl = (text: string): URL => {
  const url = URL.parse(text)
  if (!url || (url.protocol !== 'wss:' && url.protocol !== 'ws:')) {
    throw new Error(
      `The gateway's address must begin with wss:// (or ws:// on this machine): ${text}`,
    )
  }
  if (url.protocol === 'ws:' && !isLoopback(url.hostname)) {
    throw new Error(
      `Use wss:// for ${url.hostname}: over ws:// the backend token would be readable.`,
    )
  }
  return url
}

/** Starts dialling. @throws Error when `url` is no address of a tunnel (see parseTunnelUrl) */
export const dial = (options: DialOptions): Tunnel => new Dialler(options)

class Dialler implements Tunnel {
  readonly connected: Promise<void>
  readonly ended: Promise<'closed' | 'replaced'>
  readonly #options: DialOptions
  readonly #url: URL
  readonly #instanceId: string
  readonly #connected = Promise.withResolvers<void>()
  readonly #stop = new AbortController()
  #connection: Connection | undefined
  #closing: Promise<void> | undefined
  #generation = 0

  constructor(options: DialOptions) {
    this.#options = options
    this.#url = parseTunnelUrl(options.url)
    this.#instanceId = options.instanceId ?? crypto.randomUUID()
    this.connected = this.#connected.promise
    // Not everybody waits for it; `ended` says the same.
    this.connected.catch(() => {})
    this.ended = this.#run()
  }

  close(graceMs = defaultGraceMs): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    this.#stop.abort()
    await this.#connection?.close(graceMs)
    await this.ended
  }

  /** One connection after the other: there is never a second one whose events could be stale. */
  async #run(): Promise<'closed' | 'replaced'> {
    const { log, random = Math.random } = this.#options
    let numFailures = 0
    while (!this.#stop.signal.aborted) {
      this.#connection = this.#connect()
      const ended = await this.#connection.ended
      if (this.#stop.signal.aborted) break
      const retry = nextRetry(ended, numFailures, random())
      if (!retry) {
        log.error('tunnel ended', { reason: explain(ended) })
        this.#connected.reject(new Error(explain(ended)))
        return 'replaced'
      }
      numFailures = retry.numFailures
      log.warn('tunnel down', { reason: explain(ended), retryInMs: retry.delayMs })
      // Aborted by close(): the loop's condition ends it.
      await sleep(retry.delayMs, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
    log.info('tunnel closed')
    this.#connected.reject(new Error('the tunnel was closed'))
    return 'closed'
  }

  #connect(): Connection {
    const { token, models, handler, log, maxStreams = limits.streams } = this.#options
    return new Connection({
      url: this.#url,
      token,
      handler,
      log,
      timing: this.#options.timing ?? defaultTiming,
      hello: {
        instanceId: this.#instanceId,
        generation: ++this.#generation,
        connectionIndex: 0,
        models,
        services: [],
        capabilities: [],
        maxStreams,
        windowBytes: limits.requestWindowBytes,
        connectionWindowBytes: limits.requestConnectionWindowBytes,
      },
      onWelcome: () => {
        log.info('tunnel connected', { gateway: this.#url.host, models: models.join(',') })
        this.#connected.resolve()
      },
    })
  }
}
