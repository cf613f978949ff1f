/** Requests such as a day brings, in small: all that can be asked of the engine, by chance. */
import type { GenerationRequest } from '../../../backend/engine/generation.ts'
import { seededRandom } from '../../../backend/engine/random.ts'
import { generationRequest } from '../../support/generation-request.ts'

export type RandomRequest = {
  /** The choices of one client's request, alike but for id and seed. */
  readonly requests: readonly GenerationRequest[]
  /** Tokens after which the client leaves; infinite: it stays. */
  readonly abortAfter: number
}

/** @param index of the request; the same one gives the same request */
export const randomRequest = (
  index: number,
  { vocabSize, maxModelLen }: { readonly vocabSize: number; readonly maxModelLen: number },
): RandomRequest => {
  const source = seededRandom(index)
  const random = (): number => source.next()
  const upTo = (most: number): number => 1 + Math.floor(random() * most)
  const one = <T>(...choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!
  const token = (): number => 2 + Math.floor(random() * (vocabSize - 2))
  const numPrompt = one(upTo(4), upTo(30), upTo(120))
  const maxTokens = Math.min(one(1, upTo(5), upTo(16)), maxModelLen - numPrompt)
  const given = {
    promptTokens: Array.from({ length: numPrompt }, token),
    maxTokens,
    minTokens: one(0, 0, upTo(maxTokens)),
    stop: one([], [], ['e'], ['12', ' ', '=']),
    stopTokenIds: one([], [], [token()]),
    includeStop: one(false, true),
    ignoreEos: one(false, true),
    logprobs: one(null, null, 0, 5, 20),
    priority: one(0, 0, 0, 1),
    cacheSalt: one('', 'a', 'b'),
  }
  const sampling = {
    temperature: one(0, 0.7, 1.3),
    topP: one(1, 0.9),
    topK: one(0, 40),
    minP: one(0, 0.05),
    logitBias: one([], [[token(), 5] as const]),
    repetitionPenalty: one(1, 1.1),
    frequencyPenalty: one(0, 0.5),
    presencePenalty: one(0, 0.5),
  }
  const requests = Array.from({ length: one(1, 1, 1, 3) }, (_, choice) =>
    generationRequest({
      id: `${index}-${choice}`,
      ...given,
      sampling: { ...sampling, seed: index + choice },
    }),
  )
  return { requests, abortAfter: one(Infinity, Infinity, Infinity, upTo(maxTokens)) }
}
