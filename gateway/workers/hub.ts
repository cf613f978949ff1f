/** The Durable Object in which a gateway's backends and requests meet: what node.ts is on Node. */
import { DurableObject } from 'cloudflare:workers'
import { drizzle } from 'drizzle-orm/d1'
import { Hono } from 'hono'
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import { protocolName } from '../../shared/tunnel/handshake.ts'
import { ActiveRequests } from '../active-requests.ts'
import { createApp } from '../app.ts'
import { adminPath } from '../control/admin-path.ts'
import { createControlApp } from '../control/control-app.ts'
import { DatabaseAdmin } from '../control/database-admin.ts'
import type { GatewayEnv } from '../gateway-env.ts'
import { revokedKey } from '../middleware/authenticate.ts'
import { BackendRegistry, type BackendIdentity } from '../tunnel/registry.ts'
import { pepperOf, type Bindings } from './bindings.ts'
import { readHubCall } from './hub-call.ts'
import { HubSocket } from './hub-socket.ts'
import { log } from './log.ts'

export class Hub extends DurableObject<Bindings> {
  readonly #registry = new BackendRegistry({ log })
  readonly #sessions = new Map<WebSocket, GatewaySession>()
  readonly #api: Hono<GatewayEnv>
  readonly #control: Hono

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env)
    const db = drizzle(env.DB)
    const pepper = pepperOf(env)
    const active = new ActiveRequests()
    const now = Date.now
    const registry = this.#registry
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
    this.#api = createApp({ db, pepper, registry, active, log, now, isDraining: () => false })
  }

  override async fetch(request: Request): Promise<Response> {
    const call = readHubCall(request)
    switch (call.to) {
      case 'tunnel':
        return this.#accept(call.backend)
      case 'admin':
        return this.#control.fetch(request)
      case 'api':
        return this.#api.fetch(request)
    }
  }

  override webSocketMessage(webSocket: WebSocket, message: ArrayBuffer | string): void {
    const session = this.#sessions.get(webSocket)
    if (!session) webSocket.close(1001, 'x')
    else if (typeof message === 'string') session.close(closeCodes.PROTOCOL_ERROR, 'a text message')
    else session.receive(new Uint8Array(message))
  }

  override webSocketClose(webSocket: WebSocket, code: number, reason: string): void {
    this.#sessions.get(webSocket)?.transportClosed(code, reason)
    this.#sessions.delete(webSocket)
  }

  override webSocketError(webSocket: WebSocket, error: unknown): void {
    this.webSocketClose(webSocket, 1006, String(error))
  }

  #accept(backend: BackendIdentity): Response {
    const { 0: theirs, 1: ours } = new WebSocketPair()
    this.ctx.acceptWebSocket(ours)
    this.#sessions.set(ours, this.#registry.connect(backend, new HubSocket(ours)))
    const headers = { 'sec-websocket-protocol': protocolName }
    return new Response(null, { status: 101, webSocket: theirs, headers })
  }
}
