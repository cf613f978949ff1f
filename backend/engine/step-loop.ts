/** The generation loop: schedule → run → sample → commit, once per {@link StepLoop.step}. */
import type { Decoder } from '../graph/decoder.ts'
import { Detokenizer } from '../tokenizer/detokenizer.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type {
  EngineStats,
  GenerationEnd,
  GenerationEvent,
  GenerationRequest,
  PromptLogprob,
} from './generation.ts'
import { samplerScratch, type SamplerScratch } from './sampler-scratch.ts'
import { Scheduler, type Prefill, type SchedulerLimits } from './scheduler.ts'
import { tokensLeft } from './scheduled-sequence.ts'
import { Sequence } from './sequence.ts'
import { largest } from './softmax.ts'

/** The device side of the loop: what runs the model over cache slots. */
export type DecoderPort = Pick<
  Decoder,
  'maxLogits' | 'prefill' | 'decode' | 'copySlot' | 'swapSlots'
>

export type StepLoopOptions = SchedulerLimits & {
  readonly vocabSize: number
  readonly endOfSequenceTokens: ReadonlySet<number>
}

export class StepLoop {
  readonly #decoder: DecoderPort
  readonly #tokenizer: Tokenizer
  readonly #options: StepLoopOptions
  readonly #scheduler: Scheduler<Sequence>
  readonly #scratch: SamplerScratch
  readonly #sequences = new Map<string, Sequence>()
  readonly #aborted: Sequence[] = []
  #generatedTokens = 0
  #prefilledTokens = 0

  constructor(decoder: DecoderPort, tokenizer: Tokenizer, options: StepLoopOptions) {
    this.#decoder = decoder
    this.#tokenizer = tokenizer
    this.#options = options
    this.#scheduler = new Scheduler(options, decoder)
    this.#scratch = samplerScratch(options.vocabSize)
  }

  get hasWork(): boolean {
    return this.#sequences.size > 0
  }

  stats(): EngineStats {
    return {
      ...this.#scheduler.stats(),
      generatedTokens: this.#generatedTokens,
      prefilledTokens: this.#prefilledTokens,
    }
  }

  add(request: GenerationRequest): void {
    const detokenizer = new Detokenizer(this.#tokenizer, request.promptTokens)
    const sequence = new Sequence(request, detokenizer, this.#options.endOfSequenceTokens)
    this.#sequences.set(request.id, sequence)
    this.#scheduler.add(sequence)
  }

  /** Nothing more is computed for the request; its last event comes with the next step. */
  abort(id: string): void {
    const sequence = this.#sequences.get(id)
    if (sequence && !this.#aborted.includes(sequence)) this.#aborted.push(sequence)
  }

  /** Computes one token for each decoding sequence and, as the budget allows, chunks of prefill. */
  step(): GenerationEvent[] {
    const events = this.#aborted.splice(0).map((sequence) => this.#end(sequence, 'abort'))
    // Sequences promoted in this step have their first token already: they decode from the next on.
    const decoded = this.#decode()
    const first: GenerationEvent[] = []
    let prefill = this.#scheduler.nextPrefill()
    while (prefill !== null) {
      const event = this.#prefill(prefill)
      if (event !== null) first.push(event)
      prefill = this.#scheduler.nextPrefill()
    }
    return [...events, ...decoded, ...first]
  }

  #prefill({ sequence, slot, numTokens }: Prefill<Sequence>): GenerationEvent | null {
    const end = sequence.cachedTokens + numTokens
    const scores: PromptLogprob[] = []
    let last: Float32Array = noLogits
    while (sequence.cachedTokens < end) {
      const logits = this.#run(sequence, slot, end)
      const told = this.#score(sequence, logits)
      if (told === null) return this.#end(sequence, 'error')
      scores.push(...told)
      last = logits.subarray(-this.#options.vocabSize)
    }
    const event = tokensLeft(sequence) > 0 ? null : this.#begin(sequence, last)
    if (scores.length === 0) return event
    return { ...(event ?? sequence.news()), promptLogprobs: scores }
  }

  /**
   * Computes the sequence's next tokens before `end`: all of them, unless more logits are wanted than
   * there is memory for.
   * @returns [n, vocab], those after the last n of them; at least one
   */
  #run(sequence: Sequence, slot: number, end: number): Float32Array {
    const { scorer, cachedTokens: past } = sequence
    const wanted = scorer?.numLogits(end) ?? 0
    const numLogits = Math.min(wanted, this.#decoder.maxLogits)
    const tokens = sequence.tokens.slice(past, end - (wanted - numLogits))
    const logits = this.#decoder.prefill(slot, past, tokens, Math.max(1, numLogits))
    sequence.cachedTokens += tokens.length
    this.#prefilledTokens += tokens.length
    return logits
  }

  /** @returns null when the prompt's log-probabilities are wanted, and are no numbers */
  #score({ scorer, cachedTokens }: Sequence, logits: Float32Array): PromptLogprob[] | null {
    if (scorer === null) return []
    return scorer.score(logits, cachedTokens, this.#options.vocabSize, this.#scratch)
  }

  /** All of the sequence is computed: it gets its next token, unless only its prompt was of interest. */
  #begin(sequence: Sequence, logits: Float32Array): GenerationEvent {
    if (sequence.request.maxTokens === 0) {
      return this.#end(sequence, Number.isFinite(largest(logits)) ? 'length' : 'error')
    }
    this.#scheduler.startDecoding(sequence)
    return this.#append(sequence, logits)
  }

  #decode(): GenerationEvent[] {
    const batch = this.#scheduler.beginStep()
    if (batch.length === 0) return []
    const logits = this.#decoder.decode(
      0,
      batch.map((sequence) => sequence.lastToken),
      batch.map((sequence) => sequence.cachedTokens),
    )
    for (const sequence of batch) sequence.cachedTokens++
    const { vocabSize } = this.#options
    return batch.map((sequence, row) =>
      this.#append(sequence, logits.subarray(row * vocabSize, (row + 1) * vocabSize)),
    )
  }

  #append(sequence: Sequence, logits: Float32Array): GenerationEvent {
    const picked = sequence.picker.pick(logits, this.#scratch)
    if (picked === null) return this.#end(sequence, 'error')
    this.#generatedTokens++
    const event = sequence.append(picked)
    if (event.end) this.#remove(sequence, { keepRows: true })
    return event
  }

  /** Only this sequence ends: the others have slots and logits of their own. */
  #end(sequence: Sequence, end: GenerationEnd): GenerationEvent {
    // Logits that are no numbers come of rows that are none.
    this.#remove(sequence, { keepRows: end !== 'error' })
    return sequence.end(end)
  }

  #remove(sequence: Sequence, rows: { readonly keepRows: boolean }): void {
    this.#sequences.delete(sequence.request.id)
    this.#scheduler.remove(sequence, rows)
  }
}

const noLogits = new Float32Array()
