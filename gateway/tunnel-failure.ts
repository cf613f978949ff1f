/** What a failed exchange means for the API's client. */
import { ApiError, ModelNotFound, type ApiErrorOptions } from '../shared/errors.ts'
import { TunnelError } from '../shared/tunnel/error.ts'

const unavailable = (code: string): ApiErrorOptions => ({
  type: 'service_unavailable_error',
  code,
  retryAfterSeconds: 1,
})

/**
 * The error to show. A request that may have run must not be repeated by the official clients on
 * their own: it would be computed, and counted, twice.
 */
export const explainTunnelFailure = (error: unknown, model: string): ApiError => {
  if (error instanceof ApiError) return error
  if (!(error instanceof TunnelError)) {
    return new ApiError(502, 'The backend gave an answer that could not be passed on.', {
      code: 'backend_error',
      shouldRetry: false,
      cause: error,
    })
  }
  const options = { cause: error, ...(error.mayHaveRun ? { shouldRetry: false } : {}) }
  switch (error.code) {
    case 'NO_MODEL':
      return new ModelNotFound(model)
    case 'TOO_LARGE':
      if (error.mayHaveRun) break
      return new ApiError(413, 'The request is larger than a backend can take.', {
        code: 'request_too_large',
      })
    case 'DEADLINE':
      return new ApiError(504, 'The backend did not answer in time.', {
        ...options,
        code: 'backend_timeout',
      })
    case 'CONNECTION_LOST':
      if (!error.mayHaveRun) break
      return new ApiError(502, 'The connection to the backend was lost during the request.', {
        ...options,
        code: 'backend_connection_lost',
      })
    case 'DRAINING':
      if (!error.mayHaveRun) break
      return new ApiError(502, 'The backend was stopped during the request.', {
        ...options,
        code: 'backend_stopped',
      })
    case 'OVERLOADED':
      if (error.mayHaveRun) break
      return new ApiError(503, 'The backend is overloaded. Please try again in a moment.', {
        ...options,
        ...unavailable('server_is_overloaded'),
      })
    default:
  }
  return error.mayHaveRun
    ? new ApiError(502, 'The backend failed during the request.', {
        ...options,
        code: 'backend_error',
      })
    : new ApiError(503, 'The backend could not take the request. Please try again in a moment.', {
        ...options,
        ...unavailable('backend_unavailable'),
      })
}
