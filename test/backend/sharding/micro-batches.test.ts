import { expect, test } from 'vitest'
import {
  decodeMicroBatches,
  maxMicroBatches,
  prefillMicroBatches,
} from '../../../backend/sharding/micro-batches.ts'

test('the rows of a decode step are cut into as many parts as there are stages, if they are enough', () => {
  expect(decodeMicroBatches(3, 17, 2)).toEqual([
    { firstSlot: 3, numRows: 9, numTokens: 1, firstToken: 0, firstLength: 0, firstLogits: 0 },
    { firstSlot: 12, numRows: 8, numTokens: 1, firstToken: 9, firstLength: 9, firstLogits: 9 },
  ])
  expect(decodeMicroBatches(0, 17, 4).map(({ numRows }) => numRows)).toEqual([9, 8])
  expect(decodeMicroBatches(0, 15, 4).map(({ numRows }) => numRows)).toEqual([15])
  expect(decodeMicroBatches(0, 9, 1).map(({ numRows }) => numRows)).toEqual([9])
})

test('a prompt is cut into pieces, of which only the last has logits', () => {
  expect(prefillMicroBatches(2, 67, 2)).toEqual([
    { firstSlot: 2, numRows: 1, numTokens: 34, firstToken: 0, firstLength: 0, firstLogits: null },
    { firstSlot: 2, numRows: 1, numTokens: 33, firstToken: 34, firstLength: 1, firstLogits: 0 },
  ])
})

test('pieces cover the prompt, are no smaller than they must be and no more than there is room for', () => {
  for (const numStages of [1, 2, 3, 4]) {
    for (let numTokens = 1; numTokens <= 300; numTokens++) {
      const pieces = prefillMicroBatches(0, numTokens, numStages)
      const total = pieces.reduce((sum, piece) => sum + piece.numTokens, 0)
      const smallest = Math.min(...pieces.map((piece) => piece.numTokens))
      expect([total, smallest >= Math.min(numTokens, 32)]).toEqual([numTokens, true])
      expect(pieces.length).toBeLessThanOrEqual(maxMicroBatches(1, numStages))
      if (numStages === 1) expect(pieces.length).toBe(1)
    }
  }
})
