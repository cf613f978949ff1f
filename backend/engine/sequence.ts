/** One request inside the engine: its tokens, its text so far, and whether it has ended. */
import type { Detokenizer } from '../tokenizer/detokenizer.ts'
import type { GenerationEnd, GenerationEvent, GenerationRequest } from './generation.ts'
import { seededRandom, type Random } from './random.ts'
import { StopStrings } from './stop-strings.ts'

export class Sequence {
  readonly request: GenerationRequest
  readonly random: Random
  /** Prompt and answer so far. */
  readonly tokens: number[]
  /** Tokens whose keys and values are in the cache. */
  cachedTokens = 0
  readonly #detokenizer: Detokenizer
  readonly #stop: StopStrings
  #completionTokens = 0

  constructor(request: GenerationRequest, detokenizer: Detokenizer) {
    this.request = request
    this.tokens = [...request.promptTokens]
    this.random = seededRandom(request.sampling.seed)
    this.#detokenizer = detokenizer
    this.#stop = new StopStrings(request.stop)
  }

  get priority(): number {
    return this.request.priority
  }

  get cacheSalt(): string {
    return this.request.cacheSalt
  }

  /** The token that the next decode step feeds to the model. */
  get lastToken(): number {
    return this.tokens.at(-1) ?? -1
  }

  /** Takes a sampled token and tells what it means for the client. */
  append(token: number, isEndOfSequence: boolean): GenerationEvent {
    this.tokens.push(token)
    this.#completionTokens++
    if (isEndOfSequence && !this.request.ignoreEos) return this.end('stop')
    const { text, stopped } = this.#stop.push(this.#detokenizer.push(token))
    if (stopped) return this.#event(text, 'stop')
    if (this.#completionTokens < this.request.maxTokens) return this.#event(text)
    const last = this.end('length')
    return { ...last, text: text + last.text }
  }

  /** The last event, with the text that was held back. */
  end(reason: GenerationEnd): GenerationEvent {
    const { text, stopped } = this.#stop.push(this.#detokenizer.flush())
    return this.#event(stopped ? text : text + this.#stop.flush(), reason)
  }

  #event(text: string, end?: GenerationEnd): GenerationEvent {
    const event = { id: this.request.id, text, completionTokens: this.#completionTokens }
    return end === undefined ? event : { ...event, end }
  }
}
