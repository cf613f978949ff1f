/** The Durable Object in which a gateway's backends and requests meet: what node.ts is on Node. */
import { DurableObject } from 'cloudflare:workers'
import { drizzle } from 'drizzle-orm/d1'
import { Hono } from 'hono'
import { ApiError } from '../../shared/errors.ts'
import { asApiError, errorResponse } from '../../shared/openai/error.ts'
import { defaultTiming, type Timing } from '../../shared/tunnel/limits.ts'
import { ActiveRequests } from '../active-requests.ts'
import type { AnswerTiming } from '../answer-timing.ts'
import { createApp } from '../app.ts'
import { BackendLogin } from '../auth/backend-login.ts'
import { adminPath } from '../control/admin-path.ts'
import { createControlApp } from '../control/control-app.ts'
import { addTunnelRoutes } from '../control/tunnel-routes.ts'
import { DatabaseAdmin } from '../control/database-admin.ts'
import { errorFields } from '../error-fields.ts'
import type { GatewayEnv } from '../gateway-env.ts'
import { revokedKey } from '../middleware/authenticate.ts'
import { BackendRegistry } from '../tunnel/registry.ts'
import { settleLateUsage } from '../usage/late-usage.ts'
import { readSettings, type Bindings } from './bindings.ts'
import { doorOf } from './hub-call.ts'
import { HubSockets } from './hub-sockets.ts'
import { log } from './log.ts'

/**
 * An object has 128 MB, and cannot see what its sockets hold: a connection may have 4 MiB of answers
 * under way. Its streams begin with half of that, so that slow readers stall nobody else and the
 * windows of quick ones can grow.
 */
const sessionLimits = {
  maxStreams: 128,
  windowBytes: 16 * 1024,
  connectionWindowBytes: 4 * 1024 * 1024,
}

export type HubTimes = { readonly tunnel: Timing; readonly answer?: AnswerTiming }

export class Hub extends DurableObject<Bindings> {
  readonly #sockets: HubSockets
  readonly #api: Hono<GatewayEnv>
  readonly #control: Hono

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env)
    const { tunnel: timing, answer: answerTiming } = this.times()
    const db = drizzle(env.DB)
    const { pepper, tunnelKeys } = readSettings(env)
    const now = Date.now
    const active = new ActiveRequests()
    const registry = new BackendRegistry({
      log,
      now,
      timing,
      // It sleeps while nothing is open: no timer, and no message that would wake it.
      session: { ...sessionLimits, pings: false, watchIdle: false, answersTextPing: true },
      settleLateUsage: (backendId, report) =>
        settleLateUsage({ db, pepper, log, now }, backendId, report),
      onIdle: (session) => this.#sockets.idle(session),
    })
    const login = new BackendLogin({ db, tunnelKeys, now })
    const { idleSilenceMs } = timing
    this.#sockets = new HubSockets({ ctx, registry, login, idleSilenceMs })
    const admin = new DatabaseAdmin({
      db,
      pepper,
      now,
      // Exposed services are served on Node alone: nobody visits one here.
      linkOf: () => null,
      gateway: {
        grantRevoked: () => {},
        keyRevoked: (id) => active.revokeKey(id, revokedKey()),
        backendLoginRevoked: (id) => registry.disconnect(id, 'the backend was revoked'),
        connected: () => registry.backends(),
      },
      onClose: () => {},
    })
    const control = createControlApp(admin, log)
    addTunnelRoutes(control, registry)
    this.#control = new Hono().mount(adminPath, control.fetch)
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
    this.#sockets.closeStale()
    switch (doorOf(request)) {
      case 'tunnel':
        return this.#sockets.accept(request).catch(refusal)
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

/** The token may have been revoked since the Worker looked at it. */
const refusal = (error: unknown): Response => {
  if (!(error instanceof ApiError)) log.error('a backend could not be let in', errorFields(error))
  return errorResponse(asApiError(error))
}
