/** Forwarding a generation request: read it, find it a backend, pass the answer on, meter it. */
import type { Context } from 'hono'
import { ApiError, ModelNotFound } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { asApiError } from '../shared/openai/error.ts'
import { tenantHeader } from '../shared/tenant.ts'
import { TunnelError } from '../shared/tunnel/error.ts'
import type { Pepper } from './auth/pepper.ts'
import type { ActiveRequests } from './active-requests.ts'
import { answerTo, explainFailure } from './answer.ts'
import { defaultAnswerTiming, type AnswerTiming } from './answer-timing.ts'
import { errorFields } from './error-fields.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { onlyHeaders } from './headers.ts'
import { answerInTime } from './late-answer.ts'
import { promptPrefixes } from './prompt-prefixes.ts'
import { maxRequestBytes, parseGenerationRequest, readBody } from './read-body.ts'
import { sendRequest } from './send-request.ts'
import type { Router } from './tunnel/router.ts'
import { Meter, type MeterOptions } from './usage/meter.ts'
import { sealTicket } from './usage/ticket.ts'

export type ForwardOptions = MeterOptions & {
  readonly registry: Router
  readonly active: ActiveRequests
  /** Seals what a request is charged to. */
  readonly pepper: Pepper
  readonly answerTiming?: AnswerTiming
}

/** A backend that lost its connection tries again within seconds. */
const noBackendRetrySeconds = 5
/** Places become free as answers end. */
const busyRetrySeconds = 1

/** What a backend may see of the client: above all not its Authorization and Cookie. */
const requestHeaders = ['content-type', 'accept', 'traceparent']

/**
 * The handler of a listed generation route. A request that may have run leaves one usage record,
 * however often it was sent and whatever becomes of it; one that provably did not run leaves none.
 */
export const forward =
  (options: ForwardOptions) =>
  async (c: Context<GatewayEnv>): Promise<Response> => {
    const startedAt = options.now()
    const running = options.active.start(c.var.key.id)
    try {
      const body = await readBody(c.req.raw, maxRequestBytes, running.signal)
      const { model, stream, expectedTokens, fields } = parseGenerationRequest(body)
      const { requestId, clientRequestId, key } = c.var
      const headers = onlyHeaders(requestHeaders, c.req.raw.headers)
      headers.set(tenantHeader, key.id)
      const metered = (backendId: string) => ({
        requestId,
        keyId: key.id,
        backendId,
        model,
        route: c.req.path,
        stream,
        startedAt,
      })
      // Leaves a stream that has begun before the backend's answer.
      const gone = new AbortController()
      const timing = options.answerTiming ?? defaultAnswerTiming
      const left = AbortSignal.any([c.req.raw.signal, gone.signal])
      const ends = { model, left, stop: running.signal }
      const sending = sendRequest({
        router: options.registry,
        model,
        expectedTokens,
        prefixes: () => promptPrefixes(fields, `${key.id} ${model}`),
        request: ({ backendId }, attempt) => {
          const ticket = sealTicket(options.pepper, metered(backendId))
          return {
            requestId,
            method: 'POST',
            path: c.req.path,
            headers,
            body,
            attempt,
            ...(ticket !== undefined && { ticket }),
          }
        },
        signal: AbortSignal.any([left, running.signal]),
      }).then(
        (sent) => {
          if (!sent) throw nobodyTakes(options.registry, model)
          const meter = new Meter(options, metered(sent.backend.backendId), clientRequestId)
          return { ...sent, meter }
        },
        (error: unknown) => {
          throw error instanceof TunnelError ? explainFailure(error, ends) : error
        },
      )
      void sending.then(running.placed, running.placed)
      const answer = sending.then(({ exchange, meter }) =>
        answerTo(exchange, { ...ends, timing, onFirstBytes: () => meter.firstBytes() }),
      )
      const shown = stream
        ? answerInTime(answer, {
            ...timing,
            explain: (error) => explainLate(error, options.log, requestId),
            left: (reason) => gone.abort(reason),
          })
        : answer
      const status = shown.then(
        (response) => response.status,
        (error: unknown) => asApiError(error).status,
      )
      void sending
        .then(async ({ backend, exchange, meter }) => {
          const isInBooks = await meter.settle(exchange, status)
          if (isInBooks) backend.acknowledgeUsage([requestId])
        })
        // Nothing ran: whoever asked is told why.
        .catch(() => {})
        .finally(running.finish)
      return shown
    } catch (error) {
      running.finish()
      throw error
    }
  }

/** Why a request has nowhere to go. */
const nobodyTakes = (router: Router, model: string): ApiError => {
  if (router.serves(model)) {
    return new ApiError(503, 'Every backend of this model is busy. Please try again in a moment.', {
      type: 'service_unavailable_error',
      code: 'server_is_overloaded',
      retryAfterSeconds: busyRetrySeconds,
    })
  }
  if (router.backends().length > 0) return new ModelNotFound(model)
  return new ApiError(503, 'No backend is connected at the moment. Please try again shortly.', {
    type: 'service_unavailable_error',
    code: 'no_backend_online',
    retryAfterSeconds: noBackendRetrySeconds,
  })
}

/** As the app's error handler does, for a failure that is told in a stream under way. */
const explainLate = (error: unknown, log: Log, requestId: string): ApiError => {
  const shown = asApiError(error)
  if (shown !== error) log.error('request failed', { request: requestId, ...errorFields(error) })
  return shown
}
