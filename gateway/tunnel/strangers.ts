/**
 * Connections that have still to prove who they are. A few at most: when one more comes, the oldest of the
 * address that has the most makes room, so that nobody keeps others out by holding sockets open, or by
 * opening them without end.
 */
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'

const defaultMaxStrangers = 64

type Stranger = Pick<GatewaySession, 'close' | 'closed'>

export class Strangers {
  readonly #max: number
  readonly #addresses = new Map<Stranger, string | null>() // oldest first

  constructor(max: number = defaultMaxStrangers) {
    this.#max = max
  }

  /** @param address whose it is, as far as that is known */
  add(session: Stranger, address: string | null): void {
    if (this.#addresses.size >= this.#max) this.#makeRoom()
    this.#addresses.set(session, address)
    void session.closed.then(() => this.#addresses.delete(session))
  }

  /** It has proved who it is. */
  delete(session: Stranger): void {
    this.#addresses.delete(session)
  }

  close(code: number, reason: string): void {
    for (const session of this.#addresses.keys()) session.close(code, reason)
  }

  #makeRoom(): void {
    const counts = new Map<string | null, number>()
    for (const address of this.#addresses.values()) {
      counts.set(address, (counts.get(address) ?? 0) + 1)
    }
    const most = Math.max(...counts.values())
    for (const [session, address] of this.#addresses) {
      if (counts.get(address) !== most) continue
      this.#addresses.delete(session)
      session.close(closeCodes.GOING_AWAY, 'too many backends are connecting at once')
      return
    }
  }
}
