/** Turning an exchange with a backend into the response for the client. */
import { ApiError } from '../shared/errors.ts'
import { sseHeaders } from '../shared/sse.ts'
import { TunnelError } from '../shared/tunnel/error.ts'
import type { Exchange, ResponseHead } from '../shared/tunnel/exchange.ts'
import type { AnswerTiming } from './answer-timing.ts'
import { answerBody } from './answer-body.ts'
import { onlyHeaders } from './headers.ts'
import { explainTunnelFailure } from './tunnel-failure.ts'

export type AnswerOptions = {
  readonly model: string
  /** Aborts when the client has left. */
  readonly left: AbortSignal
  /** Aborts when the gateway ends the request, with an `ApiError` for the client. */
  readonly stop: AbortSignal
  readonly onFirstBytes: () => void
  /** The backend provably did not begin. */
  readonly onNotRun: () => void
  readonly timing?: AnswerTiming
}

/** nginx's status for a client that left first; nobody receives it, but the books have it. */
const clientClosedRequest = 499

/** All others stay inside: they describe the backend, or one hop. */
const responseHeaders = ['content-type', 'retry-after', 'retry-after-ms', 'x-should-retry']

/**
 * The backend's answer, as soon as its head is there. Rejects with an `ApiError` when it fails
 * before that. The exchange is cancelled when the client leaves or the gateway stops the request,
 * before the head or after it.
 */
export const answerTo = async (exchange: Exchange, options: AnswerOptions): Promise<Response> => {
  const { model, left, stop } = options
  cancelOn(left, exchange, 'the client left')
  cancelOn(stop, exchange, 'the gateway stopped the request')
  const head = await exchange.head.catch((error: unknown) => {
    if (error instanceof TunnelError && !error.mayHaveRun) options.onNotRun()
    stop.throwIfAborted()
    if (left.aborted) throw new ApiError(clientClosedRequest, 'The client closed the request.')
    throw explainTunnelFailure(error, model)
  })
  if (!isAnswer(head)) {
    exchange.cancel('the status cannot be passed on')
    throw explainTunnelFailure(new Error(`the backend answered with ${head.status}`), model)
  }
  const isEventStream = head.headers.get('content-type')?.startsWith('text/event-stream') ?? false
  const headers = onlyHeaders(responseHeaders, head.headers)
  if (isEventStream)
    for (const [name, value] of Object.entries(sseHeaders)) headers.set(name, value)
  const body = answerBody({
    source: exchange.body,
    isEventStream,
    stop,
    onFirstBytes: options.onFirstBytes,
    explain: (error) => explainTunnelFailure(error, model),
    ...(options.timing && { timing: options.timing }),
  })
  return new Response(body, { status: head.status, headers })
}

/** An OpenAI-format API answers with 200 or an error; redirects and the like would mislead. */
const isAnswer = ({ status }: ResponseHead): boolean =>
  status === 200 || (status >= 400 && status <= 599)

/** Lasts until the exchange has settled. */
const cancelOn = (signal: AbortSignal, exchange: Exchange, reason: string): void => {
  const cancel = () => exchange.cancel(reason)
  if (signal.aborted) cancel()
  signal.addEventListener('abort', cancel)
  void exchange.settled.then(() => signal.removeEventListener('abort', cancel))
}
