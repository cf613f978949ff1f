/** Requests and handlers for tests of exchanges over a tunnel. */
import type { OpenRequest, ServedExchange } from '../../../shared/tunnel/exchange.ts'
import { defaultTiming } from '../../../shared/tunnel/limits.ts'

export const usage = { promptTokens: 3, completionTokens: 4 }
export const nothing = { promptTokens: 0, completionTokens: 0 }

export const get: OpenRequest = {
  requestId: 'r',
  method: 'GET',
  path: '/v1/models?a=b',
  headers: new Headers(),
  body: null,
}

export const post = (body: Uint8Array<ArrayBuffer> | string): OpenRequest => ({
  ...get,
  method: 'POST',
  headers: new Headers({ 'content-type': 'text/plain' }),
  body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
})

export const quickTiming = { ...defaultTiming, cancelMs: 60, settleMs: 30 }

/** A handler's answer that never ends by itself, and settles its count when it is stopped. */
export const endless = (request: Request, exchange: ServedExchange): Response => {
  const stopped = Promise.withResolvers<typeof usage>()
  exchange.usage(stopped.promise)
  request.signal.addEventListener('abort', () => {
    setTimeout(() => stopped.resolve(usage), 5)
  })
  return new Response(
    new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 1))
        controller.enqueue(new Uint8Array(10))
      },
    }),
  )
}
