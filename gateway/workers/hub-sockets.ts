/** All backends' WebSockets of a hub: accepts them, finds them again after a sleep, feeds their sessions. */
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import { protocolName, textPing, textPong } from '../../shared/tunnel/handshake.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import type { BackendLogin, Grant } from '../auth/backend-login.ts'
import { identifyCaller } from '../tunnel/caller.ts'
import type { BackendRegistry } from '../tunnel/registry.ts'
import { TokenAdmission } from '../tunnel/token-admission.ts'
import { TunnelKeyAdmission } from '../tunnel/tunnel-key-admission.ts'
import { HubSocket } from './hub-socket.ts'
import { log } from './log.ts'

type Admitted = TokenAdmission | TunnelKeyAdmission

type Held = { readonly socket: HubSocket; readonly admission: Admitted }

export type HubSocketsOptions = {
  readonly ctx: DurableObjectState
  readonly registry: BackendRegistry
  readonly login: BackendLogin
  /** An idle connection without a sign of life for so long is dead. */
  readonly idleSilenceMs: number
}

export class HubSockets {
  readonly #options: HubSocketsOptions
  readonly #held = new Map<WebSocket, Held>()

  constructor(options: HubSocketsOptions) {
    const { ctx } = options
    this.#options = options
    // An idle backend's sign of life wakes nobody.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(textPing, textPong))
    for (const webSocket of ctx.getWebSockets()) this.#restore(webSocket)
  }

  /** Answers the upgrade request of a backend. @throws ApiError when it may not connect */
  async accept(request: Request): Promise<Response> {
    const { ctx, registry, login } = this.#options
    const caller = await identifyCaller((name) => request.headers.get(name), login)
    const { 0: theirs, 1: ours } = new WebSocketPair()
    ctx.acceptWebSocket(ours)
    const socket = HubSocket.accepted(ours, 'grant' in caller ? caller.grant : null)
    const admission =
      'grant' in caller
        ? this.#withToken(socket, caller.grant)
        : this.#withTunnelKey(caller.backendName)
    this.#serve(
      ours,
      { socket, admission },
      registry.connect(admission.identity, socket, admission),
    )
    const headers = { 'sec-websocket-protocol': protocolName }
    return new Response(null, { status: 101, webSocket: theirs, headers })
  }

  message(webSocket: WebSocket, message: ArrayBuffer | string): void {
    const held = this.#held.get(webSocket)
    if (!held) return
    held.socket.received(message)
    closeIfExpired(held)
  }

  closed(webSocket: WebSocket, code: number, reason: string): void {
    this.#held.get(webSocket)?.socket.closed(code, reason)
    this.#held.delete(webSocket)
  }

  /** The session has no open streams, and its snapshot has changed. */
  idle(session: GatewaySession): void {
    for (const { socket } of this.#held.values()) if (socket.session === session) socket.keepIdle()
  }

  /**
   * Closes connections whose tokens have run out, and idle ones that are dead. To be called before a
   * backend is chosen: while nothing runs, no timer watches.
   */
  closeStale(): void {
    for (const [webSocket, held] of this.#held) {
      closeIfExpired(held)
      this.#closeIfSilent(webSocket, held.socket)
    }
  }

  #closeIfSilent(webSocket: WebSocket, { session, aliveAtMs }: HubSocket): void {
    const { ctx, idleSilenceMs } = this.#options
    if (!session || session.openStreams > 0) return
    const answeredAtMs = ctx.getWebSocketAutoResponseTimestamp(webSocket)?.getTime() ?? 0
    const silentMs = Date.now() - Math.max(aliveAtMs, answeredAtMs)
    if (silentMs < idleSilenceMs) return
    session.close(closeCodes.TIMEOUT, `no sign of life for ${silentMs} ms`)
  }

  #restore(webSocket: WebSocket): void {
    if (webSocket.readyState !== WebSocket.OPEN) return
    const record = HubSocket.recordOf(webSocket)
    if (!record?.backend || !record.idle) {
      webSocket.close(closeCodes.GOING_AWAY, 'the gateway has lost its place: dial again')
      return
    }
    const { backend, token, connectedAtMs, idle } = record
    const socket = new HubSocket(webSocket, record)
    const admission = token
      ? this.#withToken(socket, { ...backend, ...token, models: null }, idle.snapshot.hello)
      : this.#withTunnelKey(backend.name)
    const session = this.#options.registry.resume(
      backend,
      socket,
      { ...idle, connectedAtMs },
      admission,
    )
    this.#serve(webSocket, { socket, admission }, session)
  }

  #serve(webSocket: WebSocket, held: Held, session: GatewaySession): void {
    this.#held.set(webSocket, held)
    held.socket.serve(session, held.admission)
    held.admission.watch(session)
  }

  #withToken(socket: HubSocket, grant: Grant, hello?: Hello): TokenAdmission {
    const { login } = this.#options
    const onRenewed = (renewed: Grant) => socket.keepToken(renewed)
    const options = { login, log, now: Date.now, watchExpiry: false, onRenewed }
    return new TokenAdmission(grant, options, hello)
  }

  #withTunnelKey(backendName: string): TunnelKeyAdmission {
    // The Worker counts failed attempts, and does not hear of this one: the proof cannot be guessed.
    return new TunnelKeyAdmission({ login: this.#options.login, log, backendName })
  }
}

const closeIfExpired = ({ admission }: Held): void => {
  if (admission instanceof TokenAdmission) admission.closeIfExpired()
}
