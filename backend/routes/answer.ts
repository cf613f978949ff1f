/** The choices of a request → the HTTP answer, whole or streamed, in the format of the route. */
import { ApiError } from '../../shared/errors.ts'
import type { Choice, ChoiceDelta, FinishReason } from '../../shared/openai/answer.ts'
import type { AnswerLogprob } from '../../shared/openai/logprobs.ts'
import type { Usage } from '../../shared/openai/usage.ts'
import { sseDone, sseEvent, sseHeaders } from '../../shared/sse.ts'
import type { GenerationEnd } from '../engine/generation.ts'
import type { Prompt } from '../served-model.ts'
import { answeredPrompt, type AnsweredPrompt } from './answered-prompt.ts'
import { ChoiceLogprobs, type TokenNames } from './choice-logprobs.ts'
import type { ChoiceEvent, Choices } from './choices.ts'

/** How a route writes its answer: JSON bodies only. */
export type AnswerFormat = {
  readonly whole: (choices: readonly Choice[], usage: Usage, prompt: AnsweredPrompt) => object
  /** The chunk before a choice's first text, if the format has one. */
  readonly opening: ((index: number, prompt: AnsweredPrompt) => object) | null
  readonly delta: (index: number, delta: ChoiceDelta) => object
  readonly closing: (index: number, finishReason: FinishReason) => object
  /** The chunk with the token counts; null when the client did not ask for it. */
  readonly usage: ((usage: Usage) => object) | null
}

type Answer = {
  readonly choices: Choices
  readonly prompt: Prompt
  readonly tokenizer: TokenNames
  readonly format: AnswerFormat
}

/** All text in one body. @throws ApiError when the engine fails or the client left */
export const wholeAnswer = async (answer: Answer): Promise<Response> => {
  const { choices, format } = answer
  const drafts = Array.from({ length: choices.count }, () => new Draft(answer))
  for await (const { index, event } of choices) {
    drafts[index]?.take(event)
    // The first failure ends all, rather than the others' being computed for nothing.
    if (event.end) finishReason(event.end)
  }
  const whole = drafts.map((draft) => draft.choice())
  return Response.json(format.whole(whole, await choices.usage, promptOf(answer)))
}

/**
 * Server-sent events. The head waits for the first token, so that a failure before it still has a
 * status; after it a failure errors the body, which then has no `[DONE]`.
 */
export const streamedAnswer = async (answer: Answer): Promise<Response> => {
  const { choices } = answer
  const events = choices[Symbol.asyncIterator]()
  let first: IteratorResult<ChoiceEvent, void> | null = await events.next()
  if (first.done) throw engineFailed()
  checkEnd(first.value, choices)

  const encoder = new TextEncoder()
  const writer = new ChunkWriter(answer)
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // An event without text (half a character) may have nothing to send yet: take the next.
        for (;;) {
          const next = first ?? (await events.next())
          first = null
          if (next.done) {
            const text = writer.end(await choices.usage)
            controller.enqueue(encoder.encode(text))
            return controller.close()
          }
          checkEnd(next.value, choices)
          const text = writer.chunks(next.value)
          if (text !== '') return controller.enqueue(encoder.encode(text))
        }
      },
      cancel() {
        choices.abort()
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(body, { headers: sseHeaders })
}

/** One choice of a whole answer while its events come. */
class Draft {
  readonly #tokens: ChoiceLogprobs
  #text = ''
  #logprobs: AnswerLogprob[] | null = null
  #end: GenerationEnd = 'error'

  constructor({ tokenizer, prompt }: Answer) {
    this.#tokens = new ChoiceLogprobs(tokenizer, prompt.echo ?? '')
  }

  take({ text, logprob, end }: ChoiceEvent['event']): void {
    this.#text += text
    if (logprob) (this.#logprobs ??= []).push(this.#tokens.next(logprob))
    if (end) this.#end = end
  }

  /** @throws ApiError for an end that is no answer */
  choice(): Choice {
    return {
      text: this.#text,
      finishReason: finishReason(this.#end),
      logprobs: this.#logprobs,
    }
  }
}

/** Writes the events of all choices as server-sent events, in the order of their coming. */
class ChunkWriter {
  readonly #answer: Answer
  readonly #tokens: readonly ChoiceLogprobs[]
  #isOpen = false

  constructor(answer: Answer) {
    this.#answer = answer
    const { choices, tokenizer, prompt } = answer
    this.#tokens = Array.from(
      { length: choices.count },
      () => new ChoiceLogprobs(tokenizer, prompt.echo ?? ''),
    )
  }

  /** May be empty. */
  chunks({ index, event: { text, logprob, end } }: ChoiceEvent): string {
    const token = logprob && this.#tokens[index]?.next(logprob)
    const { format } = this.#answer
    const opening = this.#isOpen ? '' : this.#openings()
    this.#isOpen = true
    const delta =
      text === '' && !token
        ? ''
        : sseEvent(format.delta(index, { text, logprobs: token ? [token] : null }))
    const closing = end ? sseEvent(format.closing(index, finishReason(end))) : ''
    return opening + delta + closing
  }

  end(usage: Usage): string {
    const { format } = this.#answer
    return (format.usage === null ? '' : sseEvent(format.usage(usage))) + sseDone
  }

  /** Of all choices, before the first news of any. */
  #openings(): string {
    const { opening } = this.#answer.format
    if (opening === null) return ''
    const prompt = promptOf(this.#answer)
    return this.#tokens.map((_, index) => sseEvent(opening(index, prompt))).join('')
  }
}

/** Complete when there is any news of a choice. */
const promptOf = ({ prompt, choices, tokenizer }: Answer): AnsweredPrompt =>
  answeredPrompt(prompt, choices.promptLogprobs, tokenizer)

/** @throws ApiError for an end that is no answer; then no choice goes on */
const checkEnd = ({ event }: ChoiceEvent, choices: Choices): void => {
  if (event.end === undefined || event.end === 'stop' || event.end === 'length') return
  choices.abort()
  finishReason(event.end)
}

/** @throws ApiError for an end that is no answer */
const finishReason = (end: GenerationEnd): FinishReason => {
  if (end === 'stop' || end === 'length') return end
  if (end === 'abort') throw new ApiError(499, 'The client closed the request.')
  throw engineFailed()
}

const engineFailed = () =>
  new ApiError(500, 'The engine failed while it answered.', {
    code: 'engine_failed',
    // Tokens may have been computed.
    shouldRetry: false,
  })
