import { expect, test } from 'vitest'
import {
  decodeMicroBatches,
  maxMicroBatches,
  prefillMicroBatches,
} from '../../../backend/sharding/micro-batches.ts'

test('the rows of a decode step are cut into as many parts as there are stages', () => {
  expect(decodeMicroBatches(3, 5, 2)).toEqual([
    { firstSlot: 3, numRows: 3, numTokens: 1, firstToken: 0, firstLength: 0, firstLogits: 0 },
    { firstSlot: 6, numRows: 2, numTokens: 1, firstToken: 3, firstLength: 3, firstLogits: 3 },
  ])
  expect(decodeMicroBatches(0, 2, 4).map(({ numRows }) => numRows)).toEqual([1, 1])
  expect(decodeMicroBatches(0, 9, 1).map(({ numRows }) => numRows)).toEqual([9])
})

test('a prompt is cut into pieces, of which only the last has logits', () => {
  expect(prefillMicroBatches(2, 35, 2)).toEqual([
    { firstSlot: 2, numRows: 1, numTokens: 18, firstToken: 0, firstLength: 0, firstLogits: null },
    { firstSlot: 2, numRows: 1, numTokens: 17, firstToken: 18, firstLength: 1, firstLogits: 0 },
  ])
})

test('pieces cover the prompt, are no smaller than they must be and no more than there is room for', () => {
  for (const numStages of [1, 2, 3, 4]) {
    for (let numTokens = 1; numTokens <= 300; numTokens++) {
      const pieces = prefillMicroBatches(0, numTokens, numStages)
      const total = pieces.reduce((sum, piece) => sum + piece.numTokens, 0)
      const smallest = Math.min(...pieces.map((piece) => piece.numTokens))
      expect([total, smallest >= Math.min(numTokens, 16)]).toEqual([numTokens, true])
      expect(pieces.length).toBeLessThanOrEqual(maxMicroBatches(1, numStages))
      if (numStages === 1) expect(pieces.length).toBe(1)
    }
  }
})
