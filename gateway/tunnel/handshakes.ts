/** Connections whose backend has not said HELLO: as many of each backend as it may have, and no more. */
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import { limits } from '../../shared/tunnel/limits.ts'

type Session = Pick<GatewaySession, 'close'>

export class Handshakes {
  readonly #byBackend = new Map<string, Set<Session>>() // the longest there first

  /** Where there are too many, the oldest gives way: its other end has probably given up. */
  add(backendId: string, session: Session): void {
    const sessions = this.#byBackend.get(backendId) ?? new Set()
    this.#byBackend.set(backendId, sessions.add(session))
    const [oldest] = sessions
    if (!oldest || sessions.size <= limits.connections) return
    this.delete(backendId, oldest)
    oldest.close(closeCodes.GOING_AWAY, 'dialled again')
  }

  delete(backendId: string, session: Session): void {
    const sessions = this.#byBackend.get(backendId)
    sessions?.delete(session)
    if (sessions?.size === 0) this.#byBackend.delete(backendId)
  }

  /** Of one backend, or of all. */
  sessions(backendId?: string): Session[] {
    if (backendId !== undefined) return [...(this.#byBackend.get(backendId) ?? [])]
    return [...this.#byBackend.values()].flatMap((sessions) => [...sessions])
  }
}
