/** Turning an exchange with a backend into the response for the client. */
import { ApiError } from '../shared/errors.ts'
import { asApiError } from '../shared/openai/error.ts'
import { sseHeaders } from '../shared/sse.ts'
import type { Exchange, ResponseHead } from '../shared/tunnel/exchange.ts'
import type { AnswerTiming } from './answer-timing.ts'
import { answerBody } from './answer-body.ts'
import { onlyHeaders } from './headers.ts'
import { ReadAhead } from './read-ahead.ts'
import { explainTunnelFailure } from './tunnel-failure.ts'

export type AnswerOptions = {
  readonly model: string
  /** Aborts when the client has left. */
  readonly left: AbortSignal
  /** Aborts when the gateway ends the request, with an `ApiError` for the client. */
  readonly stop: AbortSignal
  readonly onFirstBytes: () => void
  readonly timing?: AnswerTiming
}

/** nginx's status for a client that left first; nobody receives it, but the books have it. */
const clientClosedRequest = 499

/** All others stay inside: they describe the backend, or one hop. */
const responseHeaders = ['content-type', 'retry-after', 'retry-after-ms', 'x-should-retry']

/**
 * The backend's answer, as soon as its head and the first bytes are there. Rejects with an `ApiError`
 * when it fails before that.
 */
export const answerTo = async (exchange: Exchange, options: AnswerOptions): Promise<Response> => {
  const { model, stop } = options
  const head = await exchange.head.catch((error: unknown) => {
    throw explainFailure(error, options)
  })
  if (!isAnswer(head)) {
    exchange.cancel('the status cannot be passed on')
    throw explainTunnelFailure(new Error(`the backend answered with ${head.status}`), model)
  }
  // As long as nothing was passed on, a failure is one that has a status.
  const source = await ReadAhead.of(exchange.body).catch((error: unknown) => {
    throw explainFailure(error, options)
  })
  const isEventStream = head.headers.get('content-type')?.startsWith('text/event-stream') ?? false
  const headers = onlyHeaders(responseHeaders, head.headers)
  if (isEventStream)
    for (const [name, value] of Object.entries(sseHeaders)) headers.set(name, value)
  const body = answerBody({
    source,
    isEventStream,
    stop,
    onFirstBytes: options.onFirstBytes,
    explain: (error) => explainTunnelFailure(error, model),
    ...(options.timing && { timing: options.timing }),
  })
  return new Response(body, { status: head.status, headers })
}

/** What a failure before the head means for the client: the reason for which it was stopped, if it was. */
export const explainFailure = (
  error: unknown,
  { model, left, stop }: Pick<AnswerOptions, 'model' | 'left' | 'stop'>,
): ApiError => {
  if (stop.aborted) return asApiError(stop.reason)
  if (left.aborted) return new ApiError(clientClosedRequest, 'The client closed the request.')
  return explainTunnelFailure(error, model)
}

/** An OpenAI-format API answers with 200 or an error; redirects and the like would mislead. */
const isAnswer = ({ status }: ResponseHead): boolean =>
  status === 200 || (status >= 400 && status <= 599)
