/** Server-sent events, as OpenAI writes them (https://html.spec.whatwg.org/multipage/server-sent-events.html). */

/** One `data:` event. */
export const sseEvent = (data: unknown): string => `data: ${JSON.stringify(data)}\n\n`

/** The mark that a stream is whole; a failed stream never carries it. */
export const sseDone = 'data: [DONE]\n\n'

/** A comment, which clients pass over: proxies and the sender see that the connection is alive. */
export const sseKeepAlive = ': keep-alive\n\n'

export const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
} as const
