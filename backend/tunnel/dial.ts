/** Keeps a backend connected to its gateway, over one or more connections, until it is closed. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../shared/log.ts'
import type { PeerReport } from '../../shared/tunnel/connection-report.ts'
import type { Status } from '../../shared/tunnel/control-message.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import { defaultTiming, limits, type Timing } from '../../shared/tunnel/limits.ts'
import type { TrafficTotals } from '../../shared/tunnel/traffic-totals.ts'
import { Connection } from './connection.ts'
import { ConnectionSlot, type ConnectionEvents } from './connection-slot.ts'
import { CountDelivery } from './count-delivery.ts'
import type { TunnelLogin } from './login.ts'
import { ProxyRoute, type ProxySettings } from './proxy.ts'
import { parseTunnelUrl } from './tunnel-url.ts'
import type { UsageJournal } from './usage-journal.ts'

export type DialOptions = {
  /** The gateway's tunnel, e.g. `wss://gateway.example/tunnel`; plain `ws://` to this machine only. */
  readonly url: string
  readonly login: TunnelLogin
  /** Of the way to a gateway elsewhere; default: none. */
  readonly proxy?: ProxySettings | null
  /** Served model names. */
  readonly models: readonly string[]
  /** Names of exposed HTTP services. */
  readonly services?: readonly string[]
  readonly handler: TunnelHandler
  readonly log: Log
  /** Names this process; a new one for each start. Default a random UUID. */
  readonly instanceId?: string
  /** Connections to keep, at most `limits.connections`. Default 1. */
  readonly connections?: number
  /** Between the first ones of them: a gateway is not to be stormed. Default 1 s. */
  readonly spacingMs?: number
  /** Requests at once on a connection. Default and most: 256. */
  readonly maxStreams?: number
  readonly timing?: Timing
  /** How busy this backend is. */
  readonly status?: () => Status
  /** Counts what goes through. */
  readonly traffic?: TrafficTotals
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
  /** Requests that run. */
  readonly openStreams: number
  /** Each gateway, connected or not. */
  report(): PeerReport[]
  /**
   * Refuses new requests, gives running ones up to `graceMs` (default 30 s), closes. Called again, the
   * shorter grace holds.
   */
  close(graceMs?: number): Promise<void>
}

const defaultGraceMs = 30_000
const defaultSpacingMs = 1_000

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
  readonly #ended = Promise.withResolvers<'closed' | 'replaced'>()
  readonly #stop = new AbortController()
  readonly #slots: ConnectionSlot[] = []
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
    this.ended = this.#ended.promise
    this.connected = this.#connected.promise
    this.#addSlot()
    // Not everybody waits for it; `ended` says the same.
    this.connected.then(() => this.#addOtherSlots()).catch(() => {})
  }

  get openStreams(): number {
    return this.#slots.reduce((sum, { openStreams }) => sum + openStreams, 0)
  }

  report(): PeerReport[] {
    const problem = this.#slots.map((slot) => slot.problem).find((text) => text !== undefined)
    const connections = this.#slots.flatMap((slot) => slot.report())
    return [{ name: this.#url.host, connections, ...(problem !== undefined && { problem }) }]
  }

  close(graceMs = defaultGraceMs): Promise<void> {
    if (this.#closing) void this.#stopDialling(graceMs)
    return (this.#closing ??= this.#close(graceMs))
  }

  async #close(graceMs: number): Promise<void> {
    await this.#stopDialling(graceMs)
    await this.#counts?.settled()
    this.#options.log.info('tunnel closed', { gateway: this.#url.host })
    this.#end('closed', 'the tunnel was closed')
  }

  async #stopDialling(graceMs: number): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#slots.map((slot) => slot.close(graceMs)))
  }

  /** Another process has come with our name: whatever dials here would only throw that one out. */
  #replaced(reason: string): void {
    if (this.#stop.signal.aborted) return
    this.#options.log.error('tunnel ended', { gateway: this.#url.host, reason })
    void this.#stopDialling(defaultGraceMs)
    this.#end('replaced', reason)
  }

  #end(how: 'closed' | 'replaced', reason: string): void {
    this.#connected.reject(new Error(reason))
    this.#ended.resolve(how)
  }

  /** One after the other, once the first is in: a gateway that refuses us need not hear it twice. */
  async #addOtherSlots(): Promise<void> {
    const { connections = 1, spacingMs = defaultSpacingMs } = this.#options
    const { signal } = this.#stop
    while (this.#slots.length < connections) {
      await sleep(spacingMs, undefined, { signal })
      this.#addSlot()
    }
  }

  #addSlot(): void {
    const { log, models, random = Math.random } = this.#options
    const connectionIndex = this.#slots.length
    const slot = new ConnectionSlot({
      connectionIndex,
      connect: (events) => this.#connect(connectionIndex, events),
      log,
      random,
      onWelcome: () => {
        const fields = { gateway: this.#url.host, connection: connectionIndex }
        log.info('tunnel connected', { ...fields, models: models.join(',') })
        this.#connected.resolve()
      },
    })
    this.#slots.push(slot)
    void slot.ended.then((end) => {
      if (end.kind === 'replaced') this.#replaced(end.reason)
    })
  }

  async #connect(connectionIndex: number, events: ConnectionEvents): Promise<Connection> {
    const { login, handler, log, status, traffic, timing = defaultTiming } = this.#options
    const loginHeaders = await login.headers()
    return new Connection({
      url: this.#url,
      login,
      loginHeaders,
      proxy: this.#proxy,
      handler,
      log,
      timing,
      hello: this.#hello(connectionIndex),
      ...(status && { status }),
      ...(traffic && { traffic }),
      ...(this.#counts && { counts: this.#counts }),
      ...events,
    })
  }

  #hello(connectionIndex: number): Hello {
    const { models, maxStreams = limits.streams } = this.#options
    return {
      instanceId: this.#instanceId,
      generation: ++this.#generation,
      connectionIndex,
      models,
      services: this.#options.services ?? [],
      capabilities: [],
      maxStreams,
      windowBytes: limits.requestWindowBytes,
      connectionWindowBytes: limits.requestConnectionWindowBytes,
    }
  }
}
