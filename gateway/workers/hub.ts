/** The Durable Object in which a gateway's backends and requests meet: what node.ts is on Node. */
import { DurableObject } from 'cloudflare:workers'
import { drizzle } from 'drizzle-orm/d1'
import { Hono } from 'hono'
import { defaultTiming, type Timing } from '../../shared/tunnel/limits.ts'
import { ActiveRequests } from '../active-requests.ts'
import type { AnswerTiming } from '../answer-timing.ts'
import { createApp } from '../app.ts'
import { adminPath } from '../control/admin-path.ts'
import { createControlApp } from '../control/control-app.ts'
import { DatabaseAdmin } from '../control/database-admin.ts'
import type { GatewayEnv } from '../gateway-env.ts'
import { revokedKey } from '../middleware/authenticate.ts'
import { BackendRegistry } from '../tunnel/registry.ts'
import { pepperOf, type Bindings } from './bindings.ts'
import { readHubCall } from './hub-call.ts'
import { HubSockets } from './hub-sockets.ts'
import { log } from './log.ts'

/**
 * An object has 128 MB, and cannot see what its sockets hold: a connection may have 4 MiB of answers
 * under way, which is one window for each of its streams, so that slow readers stall nobody else.
 */
const sessionLimits = {
  maxStreams: 128,
  windowBytes: 32 * 1024,
  connectionWindowBytes: 4 * 1024 * 1024,
}

export type HubTimes = { readonly tunnel: Timing; readonly answer?: AnswerTiming }

export class Hub extends DurableObject<Bindings> {
  readonly #sockets: HubSockets
  readonly #times: HubTimes
  readonly #api: Hono<GatewayEnv>
  readonly #control: Hono

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env)
    this.#times = this.times()
    const { tunnel: timing, answer: answerTiming } = this.#times
    const db = drizzle(env.DB)
    const pepper = pepperOf(env)
    const now = Date.now
    const active = new ActiveRequests()
    const registry = new BackendRegistry({
      log,
      now,
      timing,
      // It sleeps while nothing is open: no timer, and no message that would wake it.
      session: { ...sessionLimits, pings: false, watchIdle: false, answersTextPing: true },
      onIdle: (session) => this.#sockets.idle(session),
    })
    this.#sockets = new HubSockets(ctx, registry)
    const admin = new DatabaseAdmin({
      db,
      pepper,
      now,
      gateway: {
        keyRevoked: (id) => active.revokeKey(id, revokedKey()),
        backendTokenRevoked: (id) => registry.disconnect(id, 'the backend token was revoked'),
        connected: () => registry.backends(),
      },
      onClose: () => {},
    })
    this.#control = new Hono().mount(adminPath, createControlApp(admin, log).fetch)
    this.#api = createApp({
      db,
      pepper,
      registry,
      active,
      log,
      now,
      // A Worker is not told before it ends.
      isDraining: () => false,
      ...(answerTiming && { answerTiming }),
    })
  }

  /** The tunnel's and the answers' time limits. */
  protected times(): HubTimes {
    return { tunnel: defaultTiming }
  }

  override async fetch(request: Request): Promise<Response> {
    const call = readHubCall(request)
    this.#sockets.closeSilent(this.#times.tunnel.idleSilenceMs)
    switch (call.to) {
      case 'tunnel':
        return this.#sockets.accept(call.backend)
      case 'admin':
        return this.#control.fetch(request)
      case 'api':
        return this.#api.fetch(request)
    }
  }

  override webSocketMessage(webSocket: WebSocket, message: ArrayBuffer | string): void {
    this.#sockets.message(webSocket, message)
  }

  override webSocketClose(webSocket: WebSocket, code: number, reason: string): void {
    this.#sockets.closed(webSocket, code, reason)
  }

  override webSocketError(webSocket: WebSocket, error: unknown): void {
    this.#sockets.closed(webSocket, 1006, String(error))
  }
}
