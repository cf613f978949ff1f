/** What a session needs from the thing below it: ordered, reliable binary messages. */

export interface Transport {
  /**
   * Sends one message; `sent` is called once, after `send` returned, when the message has left the
   * transport's own buffer (or never, if the transport closes first). Never throws: a transport that
   * is closed drops the message.
   */
  send(message: Uint8Array, sent: () => void): void
  /** Bytes handed over and not yet passed on; 0 where the runtime cannot say. */
  readonly bufferedBytes: number
  /**
   * Calls back when what the runtime has at hand now has been handled, e.g. at the end of Node's turn
   * of the event loop: what is sent meanwhile shares a message. Absent: at the end of the microtask.
   */
  defer?(callback: () => void): void
  /** Sends `textPing`; absent where only the other end does. */
  textPing?(): void
  /** Closes for good, also when the peer no longer answers. Idempotent. */
  close(code: number, reason: string): void
}
