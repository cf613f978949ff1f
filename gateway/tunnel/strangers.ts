/**
 * Connections that have still to prove who they are. A few at most: when one more comes, the oldest
 * makes room, so that nobody keeps others out by holding sockets open.
 */
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'

const defaultMaxStrangers = 64

export class Strangers {
  readonly #max: number
  readonly #sessions = new Set<GatewaySession>() // oldest first

  constructor(max: number = defaultMaxStrangers) {
    this.#max = max
  }

  add(session: GatewaySession): void {
    for (const oldest of this.#sessions) {
      if (this.#sessions.size < this.#max) break
      this.#sessions.delete(oldest)
      oldest.close(closeCodes.GOING_AWAY, 'too many backends are connecting at once')
    }
    this.#sessions.add(session)
    void session.closed.then(() => this.#sessions.delete(session))
  }

  /** It has proved who it is. */
  delete(session: GatewaySession): void {
    this.#sessions.delete(session)
  }

  close(code: number, reason: string): void {
    for (const session of this.#sessions) session.close(code, reason)
  }
}
