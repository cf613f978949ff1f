/** Requests to the engine for tests: greedy, one token of prompt, nothing special unless it is given. */
import type { GenerationRequest, SamplingParams } from '../../backend/engine/generation.ts'

export type GivenRequest = Partial<Omit<GenerationRequest, 'sampling'>> & {
  readonly sampling?: Partial<SamplingParams>
}

export const generationRequest = ({
  sampling,
  ...given
}: GivenRequest = {}): GenerationRequest => ({
  id: 'x',
  promptTokens: [0],
  maxTokens: 100,
  minTokens: 0,
  stop: [],
  stopTokenIds: [],
  includeStop: false,
  ignoreEos: false,
  logprobs: null,
  promptLogprobs: null,
  priority: 0,
  cacheSalt: '',
  ...given,
  sampling: { ...greedy, ...sampling },
})

const greedy: SamplingParams = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: [],
  seed: 0,
}
