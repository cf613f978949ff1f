import { expect, test } from 'vitest'
import type { GenerationEvent } from '../../../backend/engine/generation.ts'
import { Sequence } from '../../../backend/engine/sequence.ts'
import { Detokenizer } from '../../../backend/tokenizer/detokenizer.ts'
import { generationRequest, type GivenRequest } from '../../support/generation-request.ts'

const endOfSequence = 0

/** Token n is the n-th letter; the end of the sequence has no text. */
const decode = (ids: readonly number[]): string =>
  ids.map((id) => (id === endOfSequence ? '' : String.fromCodePoint(96 + id))).join('')

/** What comes of the letters of `sampled`, `.` being the end-of-sequence token. */
const generate = (sampled: string, given: GivenRequest) => {
  const sequence = new Sequence(
    generationRequest({ promptTokens: [], ...given }),
    new Detokenizer({ decode }),
    new Set([endOfSequence]),
  )
  const events: GenerationEvent[] = []
  for (const letter of sampled) {
    const token = letter === '.' ? endOfSequence : letter.charCodeAt(0) - 96
    events.push(sequence.append({ token, logprob: null }))
    if (events.at(-1)?.end) break
  }
  const last = events.at(-1)
  return [events.map(({ text }) => text).join(''), last?.end, last?.completionTokens]
}

test.each<[string, GivenRequest, unknown[]]>([
  ['abc.', {}, ['abc', 'stop', 4]],
  ['ab.cd', { ignoreEos: true, maxTokens: 5 }, ['abcd', 'length', 5]],
  ['abc', { maxTokens: 3 }, ['abc', 'length', 3]],
  // A stop token ends like the end-of-sequence token, whether that is ignored or not.
  ['abcd', { stopTokenIds: [3] }, ['ab', 'stop', 3]],
  ['a.cd', { stopTokenIds: [3], ignoreEos: true }, ['a', 'stop', 3]],
  ['abcd', { stopTokenIds: [3], includeStop: true }, ['abc', 'stop', 3]],
  // As the last token that there may be, too.
  ['abc', { stopTokenIds: [3], maxTokens: 3 }, ['ab', 'stop', 3]],
  ['abcd', { stop: ['bc'] }, ['a', 'stop', 3]],
  ['abcd', { stop: ['bc'], includeStop: true }, ['abc', 'stop', 3]],
  ['ab.', { stop: ['bc'], includeStop: true }, ['ab', 'stop', 3]],
  // No stop string ends in the text of the first tokens.
  ['abcabcd.', { stop: ['bc'], minTokens: 3 }, ['abca', 'stop', 6]],
  ['abcd', { stop: ['bc'], minTokens: 2 }, ['a', 'stop', 3]],
  ['abc', { stop: ['bc'], minTokens: 3, maxTokens: 3 }, ['abc', 'length', 3]],
])('%s with %j gives %j', (sampled, given, expected) => {
  expect(generate(sampled, given)).toEqual(expected)
})
