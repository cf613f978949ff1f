import { expect, test } from 'vitest'
import {
  decodeMicroBatches,
  maxMicroBatches,
  prefillMicroBatches,
} from '../../../backend/sharding/micro-batches.ts'

const placesOf = (first: number) => ({
  firstToken: first,
  firstLength: first,
  firstLogits: first,
})

test('the rows of a decode step are cut into as many parts as there are stages, if they are enough', () => {
  expect(decodeMicroBatches(3, 17, 2)).toEqual([
    { firstSlot: 3, numRows: 9, numTokens: 1, ...placesOf(0), logitsPerRow: 1 },
    { firstSlot: 12, numRows: 8, numTokens: 1, ...placesOf(9), logitsPerRow: 1 },
  ])
  expect(decodeMicroBatches(0, 17, 4).map(({ numRows }) => numRows)).toEqual([9, 8])
  expect(decodeMicroBatches(0, 15, 4).map(({ numRows }) => numRows)).toEqual([15])
  expect(decodeMicroBatches(0, 9, 1).map(({ numRows }) => numRows)).toEqual([9])
})

test.each([
  [1, [0, 0], [1, 0]],
  [33, [0, 0], [33, 0]],
  [36, [3, 0], [33, 3]],
  [67, [34, 0], [33, 34]],
])(
  'a prompt is cut into pieces; where %i logits are wanted, those of the last tokens',
  (numLogits, first, second) => {
    const pieces = [
      { firstSlot: 2, numRows: 1, numTokens: 34, firstToken: 0, firstLength: 0 },
      { firstSlot: 2, numRows: 1, numTokens: 33, firstToken: 34, firstLength: 1 },
    ]
    const expected = [first, second].map(([logitsPerRow, firstLogits], index) => ({
      ...pieces[index],
      logitsPerRow,
      firstLogits,
    }))
    expect(prefillMicroBatches(2, 67, 2, numLogits)).toEqual(expected)
  },
)

test('pieces cover the prompt, are no smaller than they must be and no more than there is room for', () => {
  for (const numStages of [1, 2, 3, 4]) {
    for (let numTokens = 1; numTokens <= 300; numTokens++) {
      const pieces = prefillMicroBatches(0, numTokens, numStages, 1)
      const total = pieces.reduce((sum, piece) => sum + piece.numTokens, 0)
      const smallest = Math.min(...pieces.map((piece) => piece.numTokens))
      expect([total, smallest >= Math.min(numTokens, 32)]).toEqual([numTokens, true])
      expect(pieces.length).toBeLessThanOrEqual(maxMicroBatches(1, numStages))
      if (numStages === 1) expect(pieces.length).toBe(1)
    }
  }
})
