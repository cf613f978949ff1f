/** One connection of a backend: its session, who is behind it, and whether requests should go there. */
import {
  connectionState,
  reportConnection,
  type ConnectionReport,
  type ConnectionState,
} from '../../shared/tunnel/connection-report.ts'
import type { Exchange, OpenRequest } from '../../shared/tunnel/exchange.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import type { Timing } from '../../shared/tunnel/limits.ts'
import type { Transport } from '../../shared/tunnel/transport.ts'
import type { BackendLoad } from './backend-load.ts'

/** Who a backend token belongs to. */
export type BackendIdentity = {
  readonly backendId: string
  /** The operator's name for it, for logs and dashboards. */
  readonly name: string
}

/** A backend that takes requests. */
export interface ConnectedBackend extends BackendIdentity {
  /** Served model names. */
  readonly models: readonly string[]
  /** ms since 1970. */
  readonly connectedAtMs: number
  /** Streams that are not over yet. */
  readonly openStreams: number
  /**
   * See `GatewaySession.open`.
   * @param expectedTokens what it will take of the engine, as far as that can be told; default 0
   */
  open(request: OpenRequest, expectedTokens?: number): Exchange
  /** Final counts of its requests are in the books. See `GatewaySession.acknowledgeUsage`. */
  acknowledgeUsage(requestIds: readonly string[]): void
}

export type BackendConnectionOptions = {
  readonly identity: BackendIdentity
  readonly hello: Hello
  readonly session: GatewaySession
  readonly transport: Transport
  /** Of the backend, over all its connections. */
  readonly load: BackendLoad
  readonly timing: Timing
  /** Whether an idle connection has to be heard of. */
  readonly watchIdle: boolean
  /** ms since 1970. */
  readonly connectedAtMs: number
  /** Monotonic clock, ms. */
  readonly monotonicNow: () => number
}

export class BackendConnection implements ConnectedBackend {
  readonly hello: Hello
  readonly session: GatewaySession
  readonly connectedAtMs: number
  readonly #options: BackendConnectionOptions

  constructor(options: BackendConnectionOptions) {
    this.hello = options.hello
    this.session = options.session
    this.connectedAtMs = options.connectedAtMs
    this.#options = options
  }

  get backendId(): string {
    return this.#options.identity.backendId
  }

  get name(): string {
    return this.#options.identity.name
  }

  get models(): readonly string[] {
    return this.hello.models
  }

  get openStreams(): number {
    return this.session.openStreams
  }

  get isDraining(): boolean {
    return this.session.isDraining
  }

  get hasRoom(): boolean {
    return this.session.hasRoom
  }

  get bufferedBytes(): number {
    return this.#options.transport.bufferedBytes
  }

  get state(): ConnectionState {
    const { timing, watchIdle } = this.#options
    const { openStreams, bufferedBytes, isDraining } = this
    const { silentMs } = this.session
    return connectionState({ openStreams, bufferedBytes, isDraining, silentMs }, timing, watchIdle)
  }

  /** Nothing comes from it although it should, or nothing leaves for it: it may be dead. */
  get isDoubtful(): boolean {
    const { state } = this
    return state === 'silent' || state === 'stalled'
  }

  report(): ConnectionReport {
    const { session, openStreams, bufferedBytes, isDraining, state, connectedAtMs } = this
    const { connectionIndex, generation } = this.hello
    const { roundTripMs, silentMs, counters } = session
    return reportConnection(
      { roundTripMs, silentMs, counters, openStreams, bufferedBytes, isDraining },
      { connectionIndex, generation, state, connectedAtMs },
    )
  }

  open(request: OpenRequest, expectedTokens = 0): Exchange {
    const { load, monotonicNow } = this.#options
    const ended = load.sent(expectedTokens, monotonicNow())
    const exchange = this.session.open(request)
    void exchange.settled.then(ended)
    return exchange
  }

  acknowledgeUsage(requestIds: readonly string[]): void {
    this.session.acknowledgeUsage(requestIds)
  }
}
