/** What a handler is given of an OPEN: a plain Request, and what a Request cannot say beside it. */
import type { ServedExchange } from './exchange.ts'
import type { Open } from './message.ts'
import type { ServedUsage } from './served-usage.ts'

/** Requests carry no authority: the base only makes a URL of the path. */
const origin = 'http://backend'

export const servedRequest = (
  open: Open,
  body: ReadableStream<Uint8Array> | null,
  signal: AbortSignal,
): Request => {
  const init: RequestInit & { duplex: 'half' } = {
    method: open.method,
    headers: open.headers,
    // An upgrade is a GET, whose Request has no body: its bytes come beside it.
    body: open.upgrade === undefined ? body : null,
    signal,
    duplex: 'half',
  }
  return new Request(origin + open.path, init)
}

export const servedExchange = (
  open: Open,
  body: ReadableStream<Uint8Array> | null,
  usage: ServedUsage,
): ServedExchange => {
  const { requestId, ticket, deadlineMs, attempt, service, upgrade } = open
  return {
    requestId,
    ...(ticket !== undefined && { ticket }),
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(attempt !== undefined && { attempt }),
    ...(service !== undefined && { service }),
    ...(upgrade !== undefined && { upgrade }),
    upgradedBody: upgrade === undefined ? null : body,
    reportUsage: (count) => usage.report(count),
    usage: (final) => usage.awaitFinal(final),
  }
}
