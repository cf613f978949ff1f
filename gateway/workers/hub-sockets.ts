/** All backends' WebSockets of a hub: accepts them, finds them again after a sleep, feeds their sessions. */
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import { protocolName, textPing, textPong } from '../../shared/tunnel/handshake.ts'
import type { BackendIdentity, BackendRegistry } from '../tunnel/registry.ts'
import { HubSocket } from './hub-socket.ts'

export class HubSockets {
  readonly #ctx: DurableObjectState
  readonly #registry: BackendRegistry
  readonly #sockets = new Map<WebSocket, HubSocket>()

  constructor(ctx: DurableObjectState, registry: BackendRegistry) {
    this.#ctx = ctx
    this.#registry = registry
    // An idle backend's sign of life wakes nobody.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(textPing, textPong))
    for (const webSocket of ctx.getWebSockets()) this.#restore(webSocket)
  }

  /** Answers the upgrade request of a backend whose token was right. */
  accept(backend: BackendIdentity): Response {
    const { 0: theirs, 1: ours } = new WebSocketPair()
    this.#ctx.acceptWebSocket(ours)
    const socket = HubSocket.accepted(ours, backend)
    this.#sockets.set(ours, socket)
    socket.serve(this.#registry.connect(backend, socket))
    const headers = { 'sec-websocket-protocol': protocolName }
    return new Response(null, { status: 101, webSocket: theirs, headers })
  }

  message(webSocket: WebSocket, message: ArrayBuffer | string): void {
    this.#sockets.get(webSocket)?.received(message)
  }

  closed(webSocket: WebSocket, code: number, reason: string): void {
    this.#sockets.get(webSocket)?.closed(code, reason)
    this.#sockets.delete(webSocket)
  }

  /** The session has no open streams, and its snapshot has changed. */
  idle(session: GatewaySession): void {
    for (const socket of this.#sockets.values()) {
      if (socket.session === session) socket.keepSnapshot()
    }
  }

  /**
   * Closes idle connections without a sign of life for so long. To be called before a backend is
   * chosen: while nothing runs, no timer watches.
   */
  closeSilent(idleSilenceMs: number): void {
    const now = Date.now()
    for (const [webSocket, socket] of this.#sockets) {
      if (!socket.session || socket.session.openStreams > 0) continue
      const answeredAt = this.#ctx.getWebSocketAutoResponseTimestamp(webSocket)?.getTime() ?? 0
      const silentMs = now - Math.max(socket.aliveAtMs, answeredAt)
      if (silentMs < idleSilenceMs) continue
      socket.session.close(closeCodes.TIMEOUT, `no sign of life for ${silentMs} ms`)
    }
  }

  #restore(webSocket: WebSocket): void {
    if (webSocket.readyState !== WebSocket.OPEN) return
    const record = HubSocket.keptRecord(webSocket)
    if (!record) {
      webSocket.close(closeCodes.GOING_AWAY, 'the gateway has lost its place: dial again')
      return
    }
    const socket = new HubSocket(webSocket, record)
    this.#sockets.set(webSocket, socket)
    socket.serve(this.#registry.resume(record.backend, socket, record))
  }
}
