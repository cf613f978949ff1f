/**
 * Brings final counts to one gateway's books: written to the journal before END leaves, resent on a
 * connection that comes after, forgotten when the gateway says that it has them.
 */
import type { Log } from '../../shared/log.ts'
import type { BackendSession } from '../../shared/tunnel/backend-session.ts'
import type { Counted } from '../../shared/tunnel/exchange.ts'
import { limits } from '../../shared/tunnel/limits.ts'
import type { UsageJournal } from './usage-journal.ts'

export type CountDeliveryOptions = {
  readonly journal: UsageJournal
  /** Its address, by which the journal tells its counts from other gateways'. */
  readonly gateway: string
  readonly instanceId: string
  readonly log: Log
}

type Session = Pick<BackendSession, 'sendUsage' | 'closed' | 'settled'>

export class CountDelivery {
  readonly #options: CountDeliveryOptions
  /** Told on a connection that is still there, and not acknowledged: by request, the connection. */
  readonly #told = new Map<string, Session>()
  /** Those that the gateway has let in, and that are not closed. */
  readonly #open = new Set<Session>()
  readonly #unsettled = new Set<Promise<void>>()
  /** Whether the journal may have counts that no connection was told of. */
  #mayLack = true

  constructor(options: CountDeliveryOptions) {
    this.#options = options
  }

  /** Before the session's END with this count leaves, or would have left. Never throws. */
  counted(session: Session, { requestId, ticket, service, usage }: Counted): void {
    // What an exposed service does is no use of tokens.
    if (usage === null || service !== undefined) return
    const { journal, gateway, instanceId, log } = this.#options
    try {
      journal.add(gateway, { requestId, instanceId, ticket, usage })
      if (this.#open.has(session)) this.#told.set(requestId, session)
      else this.#resendSomewhere()
    } catch (error) {
      log.error('a count is not journalled', { request: requestId, error: String(error), ...usage })
    }
  }

  /** The gateway has let the session in: it is told what its books may lack. */
  welcomed(session: Session): void {
    const { closed, settled } = session
    this.#unsettled.add(settled)
    void settled.then(() => this.#unsettled.delete(settled))
    this.#open.add(session)
    void closed.then(() => {
      this.#open.delete(session)
      for (const [id, owner] of this.#told) if (owner === session) this.#told.delete(id)
      this.#resendSomewhere()
    })
    this.#resend(session)
  }

  /** The connection of some counts is gone: another may be there. */
  #resendSomewhere(): void {
    this.#mayLack = true
    const [session] = this.#open
    if (session) this.#resend(session)
  }

  /** Resolves when the work of all connections that are closed is over, and journalled. */
  async settled(): Promise<void> {
    await Promise.all(this.#unsettled)
  }

  acknowledged(session: Session, requestIds: readonly string[]): void {
    const { journal, gateway, log } = this.#options
    for (const id of requestIds) this.#told.delete(id)
    try {
      journal.remove(gateway, requestIds)
    } catch (error) {
      // Told again on the next connection, which changes nothing.
      log.warn('acknowledged counts stay in the journal', { error: String(error) })
    }
    this.#resend(session)
  }

  /** As many as may be on their way at once; the acknowledgements call for the next. */
  #resend(session: Session): void {
    if (!this.#mayLack) return
    const { journal, gateway, log } = this.#options
    try {
      const room = limits.usageAckIds - this.#numToldBy(session)
      if (room <= 0) return
      const missing = journal
        .oldest(gateway, this.#told.size + room + 1)
        .filter(({ requestId }) => !this.#told.has(requestId))
      this.#mayLack = missing.length > room
      for (const { ticket, ...count } of missing.slice(0, room)) {
        const report = { ...count, isFinal: true, ...(ticket !== undefined && { ticket }) }
        if (!session.sendUsage(report)) {
          this.#mayLack = true
          return
        }
        this.#told.set(count.requestId, session)
      }
    } catch (error) {
      log.warn('the usage journal cannot be read', { error: String(error) })
    }
  }

  #numToldBy(session: Session): number {
    let count = 0
    for (const owner of this.#told.values()) if (owner === session) count++
    return count
  }
}
