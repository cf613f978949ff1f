/**
 * What a request is charged to, sealed under the pepper and sent along with it. The backend gives it back
 * with the final count, so that a gateway that was killed meanwhile can still enter it into its books.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { limits } from '../../shared/tunnel/limits.ts'
import type { Pepper } from '../auth/pepper.ts'
import type { UsageRecord } from '../db/usage-records.ts'

/** What is known of a request when it is sent. */
export type MeteredRequest = Pick<
  UsageRecord,
  'requestId' | 'keyId' | 'backendId' | 'model' | 'route' | 'stream' | 'startedAt'
>

/** For this use of the pepper only. */
const purpose = 'burrow usage ticket\0'

const seal = (pepper: Pepper, body: string): Buffer =>
  createHmac('sha256', pepper.key).update(purpose).update(body).digest()

/**
 * @returns undefined where the names are so long that no ticket can hold them; a count that comes late is
 *   then of use only if the request is in the books already
 */
export const sealTicket = (pepper: Pepper, request: MeteredRequest): string | undefined => {
  const { requestId, keyId, backendId, model, route, stream, startedAt } = request
  const fields = [requestId, keyId, backendId, model, route, stream, startedAt]
  const body = Buffer.from(JSON.stringify(fields)).toString('base64url')
  const ticket = `${body}.${seal(pepper, body).toString('base64url')}`
  return ticket.length > limits.ticketChars ? undefined : ticket
}

/** @returns null unless the ticket was sealed under this pepper */
export const openTicket = (pepper: Pepper, ticket: string): MeteredRequest | null => {
  const [body = '', mac = ''] = ticket.split('.')
  const found = Buffer.from(mac, 'base64url')
  const expected = seal(pepper, body)
  if (found.length !== expected.length || !timingSafeEqual(found, expected)) return null
  const fields = JSON.parse(Buffer.from(body, 'base64url').toString())
  const [requestId, keyId, backendId, model, route, stream, startedAt] = fields
  return { requestId, keyId, backendId, model, route, stream, startedAt }
}
