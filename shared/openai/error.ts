/** OpenAI's error body: the only place where that shape is written. */
import { ApiError } from '../errors.ts'

export type ErrorBody = {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string | null
  }
}

/**
 * Anything but an {@link ApiError} is an internal error whose details stay in the log. The request may have
 * run before it.
 */
export const asApiError = (error: unknown): ApiError =>
  error instanceof ApiError
    ? error
    : new ApiError(500, 'The server had an error while processing your request.', {
        cause: error,
        shouldRetry: false,
      })

export const errorBody = (error: ApiError): ErrorBody => ({
  error: { message: error.message, type: error.type, param: error.param, code: error.code },
})

/** The error as an HTTP response, with the headers that the official clients obey. */
export const errorResponse = (error: ApiError): Response => {
  const headers = new Headers({ 'content-type': 'application/json' })
  if (error.shouldRetry !== undefined) headers.set('x-should-retry', String(error.shouldRetry))
  if (error.retryAfterSeconds !== undefined) {
    headers.set('retry-after', String(error.retryAfterSeconds))
  }
  return new Response(JSON.stringify(errorBody(error)), { status: error.status, headers })
}
