/** What tests of forwarded requests share: backends that answer and hang, and readers of answers. */
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'

export const chat = '/v1/chat/completions'
export const encoder = new TextEncoder()
export const event = (text: string) => `data: {"t":"${text}"}\n\n`

/** Answers with the text, whole. */
export const answering =
  (text: string, init: ResponseInit = {}): TunnelHandler =>
  async (_, exchange) => {
    exchange.reportUsage({ promptTokens: 7, completionTokens: 3 })
    return new Response(text, {
      ...init,
      headers: { 'content-type': 'application/json', ...init.headers },
    })
  }

/** Sends `first` and then nothing more until it is cancelled or `end` is called. */
export const hanging = (first: string, contentType: string) => {
  const cancelled = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  let end = (_last: string) => {}
  const handler: TunnelHandler = async (incoming, exchange) => {
    incoming.signal.addEventListener('abort', () => cancelled.resolve())
    exchange.reportUsage({ promptTokens: 7, completionTokens: 2 })
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(encoder.encode(first))
        end = (last) => {
          controller.enqueue(encoder.encode(last))
          controller.close()
        }
        started.resolve()
      },
    })
    return new Response(body, { headers: { 'content-type': contentType } })
  }
  return {
    handler,
    cancelled: cancelled.promise,
    started: started.promise,
    end: (last: string) => end(last),
  }
}

export const sse = 'text/event-stream; charset=utf-8'

export const textReader = (response: Response) => {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  if (!reader) throw new Error('no body')
  return reader
}

export const errorOf = async (response: Response) => {
  const body: unknown = await response.json()
  if (typeof body !== 'object' || body === null || !('error' in body)) throw new Error('no error')
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    shouldRetry: response.headers.get('x-should-retry'),
    ...Object(body.error),
  }
}

/** The headers of the gateway's own key. */
export const auth = (gateway: { readonly key: { reveal(): string } }) => ({
  authorization: `Bearer ${gateway.key.reveal()}`,
})
