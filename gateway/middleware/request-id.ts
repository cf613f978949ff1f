/** Every response has an id of ours, by which the log and the books find its request. */
import { createMiddleware } from 'hono/factory'
import type { GatewayEnv } from '../gateway-env.ts'
import { newId } from '../ids.ts'

/** What may stand in a log line as it came. */
const saneId = /^[\w.:-]{1,64}$/

/**
 * Sets `x-request-id` to a fresh id. One that the client sent is never taken for ours: it is kept
 * beside it for the log, if it is short and plain.
 */
export const requestId = createMiddleware<GatewayEnv>(async (c, next) => {
  const inbound = c.req.header('x-request-id')
  const id = newId('req')
  c.set('requestId', id)
  c.set('clientRequestId', inbound !== undefined && saneId.test(inbound) ? inbound : undefined)
  await next()
  c.res.headers.set('x-request-id', id)
})
