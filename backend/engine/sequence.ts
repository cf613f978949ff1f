/** One request inside the engine: its tokens, its text so far, and whether it has ended. */
import type { Detokenizer } from '../tokenizer/detokenizer.ts'
import type { GenerationEnd, GenerationEvent, GenerationRequest } from './generation.ts'
import { PromptScorer } from './prompt-scorer.ts'
import { StopStrings } from './stop-strings.ts'
import { TokenPicker, type PickedToken } from './token-picker.ts'

export class Sequence {
  readonly request: GenerationRequest
  readonly picker: TokenPicker
  /** null: nobody asks for the prompt's log-probabilities. */
  readonly scorer: PromptScorer | null
  /** Prompt and answer so far. */
  readonly tokens: number[]
  /** Tokens whose keys and values are in the cache. */
  cachedTokens = 0
  readonly #endOfSequenceTokens: ReadonlySet<number>
  readonly #detokenizer: Detokenizer
  readonly #stop: StopStrings
  #completionTokens = 0

  constructor(
    request: GenerationRequest,
    detokenizer: Detokenizer,
    endOfSequenceTokens: ReadonlySet<number>,
  ) {
    this.request = request
    this.tokens = [...request.promptTokens]
    const { promptTokens, promptLogprobs } = request
    this.scorer = promptLogprobs === null ? null : new PromptScorer(promptTokens, promptLogprobs)
    this.picker = new TokenPicker(request, endOfSequenceTokens)
    this.#endOfSequenceTokens = endOfSequenceTokens
    this.#detokenizer = detokenizer
    this.#stop = new StopStrings(request.stop, request.includeStop)
  }

  get priority(): number {
    return this.request.priority
  }

  get cacheSalt(): string {
    return this.request.cacheSalt
  }

  get reusableTokens(): number {
    return this.scorer?.numReusable ?? Number.POSITIVE_INFINITY
  }

  /** The token that the next decode step feeds to the model. */
  get lastToken(): number {
    return this.tokens.at(-1) ?? -1
  }

  /** What there is to say without a new token. */
  news(): GenerationEvent {
    return this.#event('')
  }

  /** Takes a sampled token and tells what it means for the client. */
  append({ token, logprob }: PickedToken): GenerationEvent {
    this.tokens.push(token)
    this.#completionTokens++
    const event = this.#next(token)
    return logprob === null ? event : { ...event, logprob }
  }

  #next(token: number): GenerationEvent {
    const { includeStop, maxTokens } = this.request
    const ends = this.#endsAt(token)
    const { text, stopped } =
      ends && !includeStop ? noText : this.#released(this.#detokenizer.push(token))
    if (stopped) return this.#event(text, 'stop')
    if (!ends && this.#completionTokens < maxTokens) return this.#event(text)
    const last = this.end(ends ? 'stop' : 'length')
    return { ...last, text: text + last.text }
  }

  #endsAt(token: number): boolean {
    if (this.request.stopTokenIds.includes(token)) return true
    return !this.request.ignoreEos && this.#endOfSequenceTokens.has(token)
  }

  /** The last event, with the text that was held back. */
  end(reason: GenerationEnd): GenerationEvent {
    const { text, stopped } = this.#released(this.#detokenizer.flush())
    return this.#event(stopped ? text : text + this.#stop.flush(), reason)
  }

  /** The last event of a sequence that cannot go on. */
  fail(reason: string): GenerationEvent {
    return { ...this.#event('', 'error'), reason }
  }

  #released(text: string) {
    return this.#stop.push(text, this.#completionTokens > this.request.minTokens)
  }

  #event(text: string, end?: GenerationEnd): GenerationEvent {
    const event = { id: this.request.id, text, completionTokens: this.#completionTokens }
    return end === undefined ? event : { ...event, end }
  }
}

const noText = { text: '', stopped: false }
