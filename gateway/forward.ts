/** Forwarding a generation request: read it, find it a backend, pass the answer on, meter it. */
import type { Context } from 'hono'
import { ApiError, ModelNotFound } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { asApiError } from '../shared/openai/error.ts'
import { tenantHeader } from '../shared/tenant.ts'
import type { ActiveRequests } from './active-requests.ts'
import { answerTo } from './answer.ts'
import { defaultAnswerTiming, type AnswerTiming } from './answer-timing.ts'
import { errorFields } from './error-fields.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { onlyHeaders } from './headers.ts'
import { answerInTime } from './late-answer.ts'
import { Meter, type MeterOptions } from './meter.ts'
import type { BackendRegistry, ConnectedBackend } from './tunnel/registry.ts'
import { maxRequestBytes, parseGenerationRequest, readBody } from './read-body.ts'

export type ForwardOptions = MeterOptions & {
  readonly registry: Pick<BackendRegistry, 'pick' | 'backends'>
  readonly active: ActiveRequests
  readonly answerTiming?: AnswerTiming
}

/** A backend that lost its connection tries again within seconds. */
const noBackendRetrySeconds = 5

/** What a backend may see of the client: above all not its Authorization and Cookie. */
const requestHeaders = ['content-type', 'accept', 'traceparent']

/**
 * The handler of a listed generation route. A request that reaches a backend leaves one usage
 * record, whatever becomes of it; one that is turned down before leaves none.
 */
export const forward =
  (options: ForwardOptions) =>
  async (c: Context<GatewayEnv>): Promise<Response> => {
    const startedAt = options.now()
    const running = options.active.start(c.var.key.id)
    try {
      const body = await readBody(c.req.raw, maxRequestBytes, running.signal)
      const { model, stream } = parseGenerationRequest(body)
      const backend = pickBackend(options.registry, model)
      const { requestId, clientRequestId, key } = c.var
      const headers = onlyHeaders(requestHeaders, c.req.raw.headers)
      headers.set(tenantHeader, key.id)
      const exchange = backend.open({
        requestId,
        method: 'POST',
        path: c.req.path,
        headers,
        body,
      })
      const meter = new Meter(options, {
        requestId,
        clientRequestId,
        keyId: key.id,
        backendId: backend.backendId,
        model,
        route: c.req.path,
        stream,
        startedAt,
      })
      const gone = new AbortController()
      const timing = options.answerTiming ?? defaultAnswerTiming
      const answer = answerTo(exchange, {
        model,
        left: AbortSignal.any([c.req.raw.signal, gone.signal]),
        stop: running.signal,
        onFirstBytes: () => meter.firstBytes(),
        onNotRun: () => meter.notRun(),
        timing,
      })
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
      void meter.settle(exchange, status).finally(running.finish)
      return shown
    } catch (error) {
      running.finish()
      throw error
    }
  }

const pickBackend = (registry: ForwardOptions['registry'], model: string): ConnectedBackend => {
  const backend = registry.pick(model)
  if (backend) return backend
  if (registry.backends().length > 0) throw new ModelNotFound(model)
  throw new ApiError(503, 'No backend is connected at the moment. Please try again shortly.', {
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
