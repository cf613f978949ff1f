/**
 * A backend's WebSocket in the hub: a transport for its session, and the place where everything is
 * kept that must outlive the object's sleep. The runtime holds the socket meanwhile.
 */
import { closeReason } from '../../shared/tunnel/close-reason.ts'
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import type { SessionSnapshot } from '../../shared/tunnel/session-snapshot.ts'
import type { Transport } from '../../shared/tunnel/transport.ts'
import type { Grant } from '../auth/backend-login.ts'
import type { BackendIdentity } from '../tunnel/backend-connection.ts'

/** The attachment of the WebSocket: at most 16 KiB, as the runtime writes it. */
export type SocketRecord = {
  /** Null until it has proved that it has the tunnel key. */
  readonly backend: BackendIdentity | null
  /** What its token grants, but the models, which count only before; null: it has the tunnel key. */
  readonly token: Pick<Grant, 'publicKey' | 'expiresAtMs'> | null
  /** ms since the epoch, as all times here. */
  readonly connectedAtMs: number
  /** The backend was alive then. */
  readonly savedAtMs: number
  /**
   * With it a new session goes on. Null while there is more than it says: before WELCOME, and while
   * streams are open, which are lost with the object's memory.
   */
  readonly idle: IdleSession | null
}

export type IdleSession = {
  readonly sessionId: string
  readonly snapshot: SessionSnapshot
}

/** What the session tells of its backend once it was let in. */
export type LetIn = { readonly identity: BackendIdentity | null }

export class HubSocket implements Transport {
  /** The runtime does not tell: what is under way is bounded by the protocol's credit alone. */
  readonly bufferedBytes = 0
  readonly #webSocket: WebSocket
  #record: SocketRecord
  #session: GatewaySession | undefined
  #letIn: LetIn | undefined
  #lastMessageAtMs = 0

  constructor(webSocket: WebSocket, record: SocketRecord) {
    this.#webSocket = webSocket
    this.#record = record
  }

  /** One that was just accepted. */
  static accepted(webSocket: WebSocket, grant: Grant | null): HubSocket {
    const now = Date.now()
    const socket = new HubSocket(webSocket, {
      backend: grant && { backendId: grant.backendId, name: grant.name },
      token: grant && { publicKey: grant.publicKey, expiresAtMs: grant.expiresAtMs },
      connectedAtMs: now,
      savedAtMs: now,
      idle: null,
    })
    socket.#keep({})
    return socket
  }

  /** What was kept before the object slept; null if nothing was. */
  static recordOf(webSocket: WebSocket): SocketRecord | null {
    return webSocket.deserializeAttachment()
  }

  /** From now on the session's messages pass. */
  serve(session: GatewaySession, letIn: LetIn): void {
    this.#session = session
    this.#letIn = letIn
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
    if (this.#record.idle && (this.#session?.openStreams ?? 0) > 0) this.#keep({ idle: null })
    this.#webSocket.send(message)
    queueMicrotask(sent)
  }

  close(code: number, reason: string): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return
    this.#webSocket.close(code, closeReason(reason))
  }

  /** The session is idle: keeps what it needs to go on after a sleep. */
  keepIdle(): void {
    const session = this.#session
    const snapshot = session?.snapshot()
    const backend = this.#letIn?.identity
    if (!session || !snapshot || !backend) return
    try {
      this.#keep({ backend, idle: { sessionId: session.sessionId, snapshot } })
    } catch {
      const reason = 'HELLO is too large for a gateway on Workers: name fewer models'
      session.close(closeCodes.PROTOCOL_ERROR, reason)
    }
  }

  /** A fresh token was accepted. */
  keepToken({ publicKey, expiresAtMs }: Grant): void {
    this.#keep({ token: { publicKey, expiresAtMs } })
  }

  /** @throws when the record is larger than the runtime allows */
  #keep(change: Partial<SocketRecord>): void {
    this.#record = { ...this.#record, savedAtMs: Date.now(), ...change }
    this.#webSocket.serializeAttachment(this.#record)
  }
}
