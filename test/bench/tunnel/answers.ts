/**
 * What every system under measurement is asked, and answers: a small JSON, server-sent events, or
 * bulk. One request body says which, so that it can pass a gateway that looks for a model's name.
 */

/** Every request's path: one that the gateway lets through. */
export const path = '/v1/completions'

export type Ask =
  | { readonly kind: 'json' }
  /** Events of about 200 bytes; `intervalMs` 0: each in a turn of its own, as fast as they go. */
  | { readonly kind: 'events'; readonly count: number; readonly intervalMs: number }
  | { readonly kind: 'bulk'; readonly bytes: number }

/** The request body. */
export const askBody = (ask: Ask): string =>
  JSON.stringify({ model: 'bench', stream: ask.kind === 'events', prompt: 'Say something.', ask })

export const readAsk = (body: string): Ask => {
  const parsed: { readonly ask: Ask } = JSON.parse(body)
  return parsed.ask
}

/** About what a completion of 50 tokens looks like. */
export const jsonAnswer = Buffer.from(
  JSON.stringify({
    id: 'cmpl-bench',
    object: 'text_completion',
    created: 1_763_000_000,
    model: 'bench',
    choices: [{ index: 0, text: 'word '.repeat(50), logprobs: null, finish_reason: 'length' }],
    usage: { prompt_tokens: 4, completion_tokens: 50, total_tokens: 54 },
  }),
)

/** One event as a completion's stream has it. */
export const eventAnswer = Buffer.from(
  `data: ${JSON.stringify({
    id: 'cmpl-bench',
    object: 'text_completion',
    created: 1_763_000_000,
    model: 'bench',
    choices: [{ index: 0, text: ' word', logprobs: null, finish_reason: null }],
    padding: '.'.repeat(48),
  })}\n\n`,
)

export const bulkChunk = Buffer.alloc(64 * 1024, 'bulk')

/** Runs `each` `count` times at the ask's pace; it may return a promise to wait for. */
export const atPace = async (
  count: number,
  intervalMs: number,
  each: () => void | Promise<void>,
): Promise<void> => {
  const startedAt = performance.now()
  for (let i = 0; i < count; i++) {
    if (intervalMs === 0) {
      await new Promise((resolve) => setImmediate(resolve))
    } else {
      const waitMs = startedAt + i * intervalMs - performance.now()
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
    await each()
  }
}
