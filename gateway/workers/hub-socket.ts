/**
 * A backend's WebSocket in the hub: a transport for its session, and the place where everything is
 * kept that must outlive the object's sleep. The runtime holds the socket meanwhile.
 */
import { closeReason } from '../../shared/tunnel/close-reason.ts'
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import type { SessionSnapshot } from '../../shared/tunnel/session-snapshot.ts'
import type { Transport } from '../../shared/tunnel/transport.ts'
import type { BackendIdentity } from '../tunnel/registry.ts'

/** The attachment of the WebSocket: at most 16 KiB, as the runtime writes it. */
export type SocketRecord = {
  readonly backend: BackendIdentity
  /** ms since the epoch, as all times here. */
  readonly connectedAtMs: number
  /** The backend was alive then. */
  readonly savedAtMs: number
  /**
   * With it a new session goes on. Null while there is more than it says: before WELCOME, and while
   * streams are open, which are lost with the object's memory.
   */
  readonly snapshot: SessionSnapshot | null
}

export class HubSocket implements Transport {
  /** The runtime does not tell: what is under way is bounded by the protocol's credit alone. */
  readonly bufferedBytes = 0
  readonly #webSocket: WebSocket
  #record: SocketRecord
  #session: GatewaySession | undefined
  #lastMessageAtMs = 0

  constructor(webSocket: WebSocket, record: SocketRecord) {
    this.#webSocket = webSocket
    this.#record = record
  }

  /** A socket that was just accepted. */
  static accepted(webSocket: WebSocket, backend: BackendIdentity): HubSocket {
    const now = Date.now()
    const record = { backend, connectedAtMs: now, savedAtMs: now, snapshot: null }
    webSocket.serializeAttachment(record)
    return new HubSocket(webSocket, record)
  }

  /** What was kept before the object slept; null if its session cannot go on. */
  static keptRecord(webSocket: WebSocket): (SocketRecord & { snapshot: SessionSnapshot }) | null {
    const record: SocketRecord | null = webSocket.deserializeAttachment()
    return record?.snapshot ? { ...record, snapshot: record.snapshot } : null
  }

  /** The session on this transport. */
  serve(session: GatewaySession): void {
    this.#session = session
  }

  get session(): GatewaySession | undefined {
    return this.#session
  }

  /** When the backend last gave a sign of life that the object has seen. */
  get aliveAtMs(): number {
    return Math.max(this.#record.savedAtMs, this.#lastMessageAtMs)
  }

  received(message: ArrayBuffer | string): void {
    this.#lastMessageAtMs = Date.now()
    if (typeof message !== 'string') this.#session?.receive(new Uint8Array(message))
    else this.#session?.close(closeCodes.PROTOCOL_ERROR, 'a text message')
  }

  closed(code: number, reason: string): void {
    this.#session?.transportClosed(code, reason)
  }

  send(message: Uint8Array, sent: () => void): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return
    // From here on the backend may know of streams that the record does not.
    if (this.#record.snapshot && (this.#session?.openStreams ?? 0) > 0) this.#keep(null)
    this.#webSocket.send(message)
    queueMicrotask(sent)
  }

  close(code: number, reason: string): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return
    this.#webSocket.close(code, closeReason(reason))
  }

  /** The session is idle: keeps what it needs to go on after a sleep. */
  keepSnapshot(): void {
    const snapshot = this.#session?.snapshot()
    if (!snapshot) return
    try {
      this.#keep(snapshot)
    } catch {
      const reason = 'HELLO is too large for a gateway on Workers: name fewer models'
      this.#session?.close(closeCodes.PROTOCOL_ERROR, reason)
    }
  }

  /** @throws when the record is larger than the runtime allows */
  #keep(snapshot: SessionSnapshot | null): void {
    this.#record = { ...this.#record, savedAtMs: Date.now(), snapshot }
    this.#webSocket.serializeAttachment(this.#record)
  }
}
