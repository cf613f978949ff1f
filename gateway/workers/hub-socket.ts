/** A transport over a WebSocket that the runtime holds while the object sleeps. */
import { closeReason } from '../../shared/tunnel/close-reason.ts'
import type { Transport } from '../../shared/tunnel/transport.ts'

export class HubSocket implements Transport {
  /** The runtime does not tell: what may be under way is bounded by the protocol's credit alone. */
  readonly bufferedBytes = 0
  readonly #webSocket: WebSocket

  constructor(webSocket: WebSocket) {
    this.#webSocket = webSocket
  }

  send(message: Uint8Array, sent: () => void): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return
    this.#webSocket.send(message)
    queueMicrotask(sent)
  }

  close(code: number, reason: string): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return
    this.#webSocket.close(code, closeReason(reason))
  }
}
