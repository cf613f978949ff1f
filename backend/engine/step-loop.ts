/** The generation loop: schedule → run → sample → commit, once per {@link StepLoop.step}. */
import type { Decoder } from '../graph/decoder.ts'
import { Detokenizer } from '../tokenizer/detokenizer.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { DecodePipeline, type PipelinePort } from './decode-pipeline.ts'
import type {
  GenerationEnd,
  GenerationEvent,
  GenerationRequest,
  PromptLogprob,
  ThreadStats,
} from './generation.ts'
import { samplerScratch, type SamplerScratch } from './sampler-scratch.ts'
import { Scheduler, type Prefill, type SchedulerLimits } from './scheduler.ts'
import { tokensLeft } from './scheduled-sequence.ts'
import { Sequence } from './sequence.ts'

/** The device side of the loop: what runs the model over cache slots. */
export type DecoderPort = Pick<
  Decoder,
  'maxLogits' | 'prefill' | 'decode' | 'copySlot' | 'swapSlots'
> &
  Partial<PipelinePort>

const hasStages = (decoder: DecoderPort): decoder is DecoderPort & PipelinePort =>
  (decoder.numStages ?? 1) > 1

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
  /** Sequences whose last event is told, but whose slots are not free yet. */
  readonly #ended: { readonly sequence: Sequence; readonly keepRows: boolean }[] = []
  /** null: the decoder computes a step at a time. */
  readonly #pipeline: DecodePipeline | null
  #generatedTokens = 0
  #prefilledTokens = 0

  constructor(decoder: DecoderPort, tokenizer: Tokenizer, options: StepLoopOptions) {
    this.#decoder = decoder
    this.#tokenizer = tokenizer
    this.#options = options
    this.#pipeline = hasStages(decoder) ? new DecodePipeline(decoder) : null
    this.#scheduler = new Scheduler(options, decoder)
    this.#scratch = samplerScratch(options.vocabSize)
  }

  get hasWork(): boolean {
    return this.#sequences.size > 0
  }

  stats(): ThreadStats {
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

  /**
   * Computes one token for each decoding sequence and, as the budget allows, chunks of prefill. Over the
   * stages of a pipeline, while nobody comes and nobody leaves, a step is one token for a part of them.
   */
  step(): GenerationEvent[] {
    const isDisturbed = this.#aborted.length > 0 || this.#scheduler.hasPrefill
    if (this.#pipeline && !isDisturbed) return this.#flow(this.#pipeline)
    // Rows must not move while they are computed.
    const landed = this.#pipeline ? this.#landAll(this.#pipeline) : []
    const aborted = this.#aborted
      .splice(0)
      .filter(({ request }) => this.#sequences.has(request.id))
      .map((sequence) => this.#end(sequence, 'abort'))
    // Sequences promoted in this step have their first token already: they decode from the next on.
    const decoded = this.#decode()
    const first: GenerationEvent[] = []
    let prefill = this.#scheduler.nextPrefill()
    while (prefill !== null) {
      const event = this.#prefill(prefill)
      if (event !== null) first.push(event)
      prefill = this.#scheduler.nextPrefill()
    }
    return [...landed, ...aborted, ...decoded, ...first]
  }

  /** The next group's token, which is begun again at once; or all groups', if one of them ends. */
  #flow(pipeline: DecodePipeline): GenerationEvent[] {
    if (pipeline.isEmpty) pipeline.startAll(this.#scheduler.beginStep())
    const events = this.#land(pipeline)
    if (this.#ended.length > 0) events.push(...this.#landAll(pipeline))
    return events
  }

  /** Commits the group that is done first, and begins it again unless one of it has ended. */
  #land(pipeline: DecodePipeline): GenerationEvent[] {
    const landed = pipeline.finish()
    if (landed === null) return []
    const events = this.#commit(landed.group.sequences, landed.logits)
    if (this.#ended.length === 0) pipeline.start(landed.group)
    return events
  }

  /** Commits all groups in flight; then the slots of those that ended are free. */
  #landAll(pipeline: DecodePipeline): GenerationEvent[] {
    const events: GenerationEvent[] = []
    for (let landed = pipeline.finish(); landed !== null; landed = pipeline.finish()) {
      events.push(...this.#commit(landed.group.sequences, landed.logits))
    }
    this.#removeEnded()
    return events
  }

  #prefill({ sequence, slot, numTokens }: Prefill<Sequence>): GenerationEvent | null {
    const end = sequence.cachedTokens + numTokens
    const scores: PromptLogprob[] = []
    let last: Float32Array = noLogits
    while (sequence.cachedTokens < end) {
      const logits = this.#run(sequence, slot, end)
      const told = this.#score(sequence, logits)
      if (told === null) return this.#fail(sequence, 'the logits of its prompt are no numbers')
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
      const [likeliest = 0] = this.#scratch.top.select(logits, 1)
      if (Number.isFinite(logits[likeliest])) return this.#end(sequence, 'length')
      return this.#fail(sequence, 'the logits after its prompt are no numbers')
    }
    this.#scheduler.startDecoding(sequence)
    const event = this.#append(sequence, logits)
    this.#removeEnded()
    return event
  }

  #decode(): GenerationEvent[] {
    const batch = this.#scheduler.beginStep()
    if (batch.length === 0) return []
    const logits = this.#decoder.decode(
      0,
      batch.map((sequence) => sequence.lastToken),
      batch.map((sequence) => sequence.cachedTokens),
    )
    const events = this.#commit(batch, logits)
    this.#removeEnded()
    return events
  }

  /** Gives each sequence its next token. @param logits [sequences, vocabSize] */
  #commit(sequences: readonly Sequence[], logits: Float32Array): GenerationEvent[] {
    const { vocabSize } = this.#options
    return sequences.map((sequence, row) => {
      sequence.cachedTokens++
      return this.#append(sequence, logits.subarray(row * vocabSize, (row + 1) * vocabSize))
    })
  }

  /** The slot of a sequence that ends here is freed by {@link #removeEnded}. */
  #append(sequence: Sequence, logits: Float32Array): GenerationEvent {
    const event = guarded(sequence, () => this.#draw(sequence, logits))
    // Logits that are no numbers come of rows that are none.
    if (event.end) this.#ended.push({ sequence, keepRows: event.end !== 'error' })
    return event
  }

  #draw(sequence: Sequence, logits: Float32Array): GenerationEvent {
    const picked = sequence.picker.pick(logits, this.#scratch)
    if (picked === null) return sequence.fail('no token can be drawn from the logits')
    this.#generatedTokens++
    return sequence.append(picked)
  }

  #removeEnded(): void {
    for (const { sequence, keepRows } of this.#ended.splice(0)) this.#remove(sequence, { keepRows })
  }

  /** Only this sequence ends: the others have slots and logits of their own. */
  #end(sequence: Sequence, end: GenerationEnd): GenerationEvent {
    this.#remove(sequence, { keepRows: true })
    return guarded(sequence, () => sequence.end(end))
  }

  /** The same, because it cannot go on: its rows are worth nothing. */
  #fail(sequence: Sequence, reason: string): GenerationEvent {
    this.#remove(sequence, { keepRows: false })
    return sequence.fail(reason)
  }

  #remove(sequence: Sequence, rows: { readonly keepRows: boolean }): void {
    this.#sequences.delete(sequence.request.id)
    this.#scheduler.remove(sequence, rows)
  }
}

const noLogits = new Float32Array()

/** What fails for one sequence ends that one: the others have slots and logits of their own. */
const guarded = (sequence: Sequence, act: () => GenerationEvent): GenerationEvent => {
  try {
    return act()
  } catch (error) {
    return sequence.fail(String(error))
  }
}
