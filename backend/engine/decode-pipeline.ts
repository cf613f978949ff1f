/**
 * Decoding over the stages of a pipeline, without waiting for a whole step: the rows go in groups, one for
 * each stage, and each group decodes its next token as soon as it has the one before. So no stage waits for
 * the others' part of a step, nor for the sampler.
 */
import type { ShardedDecoder } from '../sharding/sharded-decoder.ts'
import type { Sequence } from './sequence.ts'

export type PipelinePort = Pick<ShardedDecoder, 'numStages' | 'startDecode' | 'finishDecode'>

/** Neighbouring rows that decode together. */
export type Group = { readonly firstSlot: number; readonly sequences: readonly Sequence[] }

export class DecodePipeline {
  readonly #port: PipelinePort
  /** In flight, the one that was begun first before the others. */
  readonly #groups: Group[] = []

  constructor(port: PipelinePort) {
    this.#port = port
  }

  get isEmpty(): boolean {
    return this.#groups.length === 0
  }

  /**
   * Begins the next token of all sequences; nothing is in flight.
   * @param sequences index = slot
   */
  startAll(sequences: readonly Sequence[]): void {
    const count = Math.min(this.#port.numStages, sequences.length)
    for (let index = 0; index < count; index++) {
      const firstSlot = Math.floor((index * sequences.length) / count)
      const end = Math.floor(((index + 1) * sequences.length) / count)
      this.start({ firstSlot, sequences: sequences.slice(firstSlot, end) })
    }
  }

  /** Begins the group's next token: none of its sequences has moved since it was finished. */
  start(group: Group): void {
    const { firstSlot, sequences } = group
    this.#port.startDecode(
      firstSlot,
      sequences.map((sequence) => sequence.lastToken),
      sequences.map((sequence) => sequence.cachedTokens),
    )
    this.#groups.push(group)
  }

  /**
   * Waits for the group that was begun first.
   * @returns null when none is in flight; else its logits too, [sequences, vocabSize], valid until it is
   *   begun again
   */
  finish(): { readonly group: Group; readonly logits: Float32Array } | null {
    const group = this.#groups.shift()
    return group === undefined ? null : { group, logits: this.#port.finishDecode() }
  }
}
