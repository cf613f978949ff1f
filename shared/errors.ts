/** Errors that an API client sees. Each knows its status and its place in OpenAI's error shape. */

/** OpenAI's `error.type` values that Burrow answers with. */
export type ErrorType =
  | 'invalid_request_error'
  | 'server_error'
  | 'service_unavailable_error'
  | 'rate_limit_error'

export type ApiErrorOptions = {
  readonly type?: ErrorType
  /** OpenAI's machine-readable `error.code`, e.g. `invalid_api_key`. */
  readonly code?: string | null
  /** The request field at fault, e.g. `messages`. */
  readonly param?: string | null
  /** Obeyed by the official OpenAI clients through the `x-should-retry` header. */
  readonly shouldRetry?: boolean
  readonly retryAfterSeconds?: number
  readonly cause?: unknown
}

/** An error with an HTTP status whose message may be shown to the client as it stands. */
export class ApiError extends Error {
  override readonly name: string = 'ApiError'
  readonly status: number
  readonly type: ErrorType
  readonly code: string | null
  readonly param: string | null
  readonly shouldRetry: boolean | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(status: number, message: string, options: ApiErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.status = status
    this.type = options.type ?? (status < 500 ? 'invalid_request_error' : 'server_error')
    this.code = options.code ?? null
    this.param = options.param ?? null
    this.shouldRetry = options.shouldRetry
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** 400: the request's field `param` is wrong; the message says what would be right. */
export class InvalidRequest extends ApiError {
  override readonly name = 'InvalidRequest'

  constructor(message: string, param: string | null = null, code: string | null = null) {
    super(400, message, { param, code })
  }
}

/** 404 in the words of OpenAI: unknown and forbidden models are told alike. */
export class ModelNotFound extends ApiError {
  override readonly name = 'ModelNotFound'

  constructor(model: string) {
    super(404, `The model \`${model}\` does not exist or you do not have access to it.`, {
      code: 'model_not_found',
      param: 'model',
    })
  }
}
