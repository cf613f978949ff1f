/** The generation loop: schedule → run → sample → commit, once per {@link StepLoop.step}. */
import type { Decoder } from '../graph/decoder.ts'
import { Detokenizer } from '../tokenizer/detokenizer.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { EngineStats, GenerationEvent, GenerationRequest } from './generation.ts'
import { samplerScratch, type SamplerScratch } from './sampler-scratch.ts'
import { Scheduler, type Prefill, type SchedulerLimits } from './scheduler.ts'
import { tokensLeft } from './scheduled-sequence.ts'
import { Sequence } from './sequence.ts'

/** The device side of the loop: what runs the model over cache slots. */
export type DecoderPort = Pick<Decoder, 'prefill' | 'decode' | 'copySlot' | 'swapSlots'>

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
    const events = this.#aborted.splice(0).map((sequence) => {
      this.#remove(sequence, { keepRows: true })
      return sequence.end('abort')
    })
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
    const past = sequence.cachedTokens
    const chunk = sequence.tokens.slice(past, past + numTokens)
    const logits = this.#decoder.prefill(slot, past, chunk)
    sequence.cachedTokens += numTokens
    this.#prefilledTokens += numTokens
    if (tokensLeft(sequence) > 0) return null
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
    const event = this.#draw(sequence, logits)
    // Logits that are no numbers come of rows that are none.
    if (event.end) this.#remove(sequence, { keepRows: event.end !== 'error' })
    return event
  }

  #draw(sequence: Sequence, logits: Float32Array): GenerationEvent {
    const picked = sequence.picker.pick(logits, this.#scratch)
    // Only this sequence is lost: the others have slots and logits of their own.
    if (picked === null) return sequence.end('error')
    this.#generatedTokens++
    return sequence.append(picked)
  }

  #remove(sequence: Sequence, rows: { readonly keepRows: boolean }): void {
    this.#sequences.delete(sequence.request.id)
    this.#scheduler.remove(sequence, rows)
  }
}
