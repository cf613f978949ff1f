/** Errors on their way to the client. */
import type { Context } from 'hono'
import type { Log } from '../../shared/log.ts'
import { asApiError, errorResponse } from '../../shared/openai/error.ts'
import { errorFields } from '../error-fields.ts'
import type { GatewayEnv } from '../gateway-env.ts'

/** Answers in OpenAI's error shape; what nobody foresaw is a 500 whose details go to the log. */
export const onError =
  (log: Log) =>
  <Env extends GatewayEnv>(error: Error, c: Context<Env>): Response => {
    const shown = asApiError(error)
    if (shown !== error) {
      const { requestId } = c.var
      log.error('request failed', {
        request: requestId,
        method: c.req.method,
        path: c.req.path,
        ...errorFields(error),
      })
    }
    const response = errorResponse(shown)
    if (shown.status === 401) response.headers.set('www-authenticate', 'Bearer')
    return response
  }
