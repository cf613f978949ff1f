/** A gateway that is going away takes nothing new. */
import { createMiddleware } from 'hono/factory'
import { ApiError } from '../../shared/errors.ts'
import { errorResponse } from '../../shared/openai/error.ts'
import type { ActiveRequests } from '../active-requests.ts'

/**
 * 503 once `isDraining` says so; kept-alive connections close, as the next may lead elsewhere. What was
 * let in is entered until its answer begins: the drain waits for it.
 */
export const refuseWhileDraining = (
  isDraining: () => boolean,
  active: Pick<ActiveRequests, 'arrived'>,
) =>
  createMiddleware(async (c, next) => {
    if (!isDraining()) {
      const answering = active.arrived()
      await next().finally(answering)
    }
    // It may have begun to drain while this request ran.
    if (!isDraining()) return undefined
    if (!c.finalized) c.res = draining()
    c.res.headers.set('connection', 'close')
    return undefined
  })

const draining = (): Response =>
  errorResponse(
    new ApiError(503, 'The gateway is shutting down. Please try again shortly.', {
      type: 'service_unavailable_error',
      code: 'gateway_draining',
      retryAfterSeconds: 5,
    }),
  )
