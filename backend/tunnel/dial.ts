/** Keeps a backend connected to its gateway: dials, serves, and dials again until it is closed. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../shared/log.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { defaultTiming, limits, type Timing } from '../../shared/tunnel/limits.ts'
import { Connection } from './connection.ts'
import { CountDelivery } from './count-delivery.ts'
import type { TunnelLogin } from './login.ts'
import { ProxyRoute, type ProxySettings } from './proxy.ts'
import { explain, nextRetry } from './retry.ts'
import type { UsageJournal } from './usage-journal.ts'

export type DialOptions = {
  /** The gateway's tunnel, e.g. `wss://gateway.example/tunnel`; plain `ws://` to this machine only. */
  readonly url: string
  readonly login: TunnelLogin
  /** The proxy before the gateway. Not asked for `ws://`, which stays on this machine. */
  readonly proxy?: ProxySettings | null
  /** Served model names. */
  readonly models: readonly string[]
  readonly handler: TunnelHandler
  readonly log: Log
  /** Names this process; a new one for each start. Default a random UUID. */
  readonly instanceId?: string
  /** Requests at once. Default and most: 256. */
  readonly maxStreams?: number
  readonly timing?: Timing
  /** Keeps final counts until the gateway has them in its books. */
  readonly journal?: UsageJournal
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

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)

/** @throws Error that says what to change when the address is no tunnel's */
export const parseTunnelUrl = (text: string): URL => {
  const url = URL.parse(text)
  if (!url || (url.protocol !== 'wss:' && url.protocol !== 'ws:')) {
    throw new Error(
      `The gateway's address must begin with wss:// (or ws:// on this machine): ${text}`,
    )
  }
  if (url.protocol === 'ws:' && !isLoopback(url.hostname)) {
    throw new Error(`Use wss:// for ${url.hostname}: over ws:// all that passes would be readable.`)
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
  readonly #proxy: ProxyRoute | null
  readonly #instanceId: string
  readonly #counts: CountDelivery | undefined
  readonly #connected = Promise.withResolvers<void>()
  readonly #stop = new AbortController()
  #connection: Connection | undefined
  #closing: Promise<void> | undefined
  #generation = 0

  constructor(options: DialOptions) {
    this.#options = options
    this.#url = parseTunnelUrl(options.url)
    this.#proxy =
      options.proxy && this.#url.protocol === 'wss:'
        ? new ProxyRoute(options.proxy, this.#url)
        : null
    this.#instanceId = options.instanceId ?? crypto.randomUUID()
    const { journal, log } = options
    const gateway = this.#url.href
    const instanceId = this.#instanceId
    this.#counts = journal && new CountDelivery({ journal, gateway, instanceId, log })
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
    await this.#counts?.settled()
  }

  /** One connection after the other: there is never a second one whose events could be stale. */
  async #run(): Promise<'closed' | 'replaced'> {
    const { log, random = Math.random } = this.#options
    let numFailures = 0
    while (!this.#stop.signal.aborted) {
      const loginHeaders = await this.#options.login.headers()
      if (this.#stop.signal.aborted) break
      this.#connection = this.#connect(loginHeaders)
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

  #connect(loginHeaders: Readonly<Record<string, string>>): Connection {
    const { login, models, handler, log, maxStreams = limits.streams } = this.#options
    return new Connection({
      url: this.#url,
      login,
      loginHeaders,
      proxy: this.#proxy,
      handler,
      log,
      ...(this.#counts && { counts: this.#counts }),
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
