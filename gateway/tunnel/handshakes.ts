/** Connections that are not let in yet: strangers, and of each backend as many as it may have. */
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import { limits } from '../../shared/tunnel/limits.ts'
import { Strangers } from './strangers.ts'

export class Handshakes {
  readonly #strangers = new Strangers()
  readonly #byBackend = new Map<string, Set<GatewaySession>>() // the longest there first

  /** Of somebody who has not said who it is. */
  beginUnknown(session: GatewaySession, address: string | null): void {
    this.#strangers.add(session, address)
  }

  /**
   * Of a backend, which may have been a stranger: from here on `sessions` finds it. Where there are too
   * many, the oldest gives way: its other end has probably given up.
   */
  begin(backendId: string, session: GatewaySession): void {
    this.#strangers.delete(session)
    const sessions = this.#byBackend.get(backendId) ?? new Set()
    if (sessions.has(session)) return
    this.#byBackend.set(backendId, sessions.add(session))
    void session.closed.then(() => this.end(backendId, session))
    const [oldest] = sessions
    if (!oldest || sessions.size <= limits.connections) return
    this.end(backendId, oldest)
    oldest.close(closeCodes.GOING_AWAY, 'dialled again')
  }

  /** It was let in, or has gone. */
  end(backendId: string, session: GatewaySession): void {
    const sessions = this.#byBackend.get(backendId)
    sessions?.delete(session)
    if (sessions?.size === 0) this.#byBackend.delete(backendId)
  }

  /** Those of the backend. */
  sessions(backendId: string): GatewaySession[] {
    return [...(this.#byBackend.get(backendId) ?? [])]
  }

  close(code: number, reason: string): void {
    this.#strangers.close(code, reason)
    for (const sessions of this.#byBackend.values()) {
      for (const session of sessions) session.close(code, reason)
    }
  }
}
