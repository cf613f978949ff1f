/** The payloads of USAGE and USAGE_ACK: counts that survive a lost connection. SPEC.md, "Usage". */
import type { Usage } from '../openai/usage.ts'
import { limits } from './limits.ts'
import {
  boolean,
  checked,
  encodeJson,
  list,
  malformed,
  parseUsage,
  readJson,
  string,
} from './payload.ts'

/** What a request has used so far, or in the end. */
export type UsageReport = {
  readonly requestId: string
  /** The backend process that ran it. */
  readonly instanceId: string
  readonly usage: Usage
  /** False for a stream that still runs; true from the journal, resent until acknowledged. */
  readonly isFinal: boolean
  /** OPEN's ticket, with a final count. */
  readonly ticket?: string
}

/** What may be in a ticket: it travels in headers and files without quoting. */
export const parseTicket = (value: unknown, what: string): string => {
  const ticket = string(value, limits.ticketChars, what)
  if (/^[\w.~+/=-]+$/.test(ticket)) return ticket
  throw malformed(what)
}

/** @throws TunnelError PROTOCOL_ERROR when the peer would have to refuse it */
export const encodeUsage = (report: UsageReport): Uint8Array =>
  checked(encodeJson(report), parseUsageReport)

export const parseUsageReport = (payload: Uint8Array): UsageReport => {
  const from = readJson(payload, 'USAGE')
  const ticket = from['ticket']
  return {
    requestId: string(from['requestId'], limits.requestIdChars, 'USAGE.requestId'),
    instanceId: string(from['instanceId'], limits.requestIdChars, 'USAGE.instanceId'),
    usage: parseUsage(from['usage'], 'USAGE.usage'),
    isFinal: boolean(from['isFinal'], 'USAGE.isFinal'),
    ...(ticket !== undefined && { ticket: parseTicket(ticket, 'USAGE.ticket') }),
  }
}

/** USAGE_ACK: these final counts are safely in the books; at most `limits.usageAckIds`. */
export const encodeUsageAck = (requestIds: readonly string[]): Uint8Array =>
  checked(encodeJson({ requestIds }), parseUsageAck)

export const parseUsageAck = (payload: Uint8Array): readonly string[] => {
  const { requestIds } = readJson(payload, 'USAGE_ACK')
  return list(requestIds, limits.usageAckIds, 'USAGE_ACK.requestIds').map((id) =>
    string(id, limits.requestIdChars, 'USAGE_ACK.requestIds'),
  )
}
