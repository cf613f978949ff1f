/** Working memory of the sampler, as large as the vocabulary: one for all sequences of a step loop. */
import { numBuckets } from './softmax.ts'
import { TopTokens } from './top-tokens.ts'

export type SamplerScratch = {
  /** [vocab]: the logits after penalties and biases. */
  readonly logits: Float32Array
  /** The weight of each bucket (softmax.ts). */
  readonly masses: Float64Array
  /** [vocab]: the tokens of a bucket. */
  readonly tokens: Uint32Array
  /** [vocab]: the tokens that min-p leaves. */
  readonly possible: Uint32Array
  /** [vocab]: the logits of {@link tokens}. */
  readonly edgeLogits: Float32Array
  readonly top: TopTokens
}

export const samplerScratch = (vocabSize: number): SamplerScratch => ({
  logits: new Float32Array(vocabSize),
  masses: new Float64Array(numBuckets),
  tokens: new Uint32Array(vocabSize),
  possible: new Uint32Array(vocabSize),
  edgeLogits: new Float32Array(vocabSize),
  top: new TopTokens(vocabSize),
})
