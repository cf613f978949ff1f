import { expect, test } from 'vitest'
import { displacedBy } from '../../../gateway/tunnel/displaced.ts'

const hello = (instanceId: string, connectionIndex: number, generation: number) => ({
  instanceId,
  connectionIndex,
  generation,
})

const held = [hello('one', 0, 1), hello('one', 1, 2), hello('one', 3, 7)].map((of) => ({
  hello: of,
}))

test.each([
  ['another place of the same process displaces nobody', hello('one', 2, 8), []],
  ['the same place, dialled later, displaces what was there', hello('one', 1, 3), [held[1]]],
  ['a late one displaces nobody and is not taken', hello('one', 3, 6), null],
  ['neither is the same one twice', hello('one', 3, 7), null],
  ['another process displaces all', hello('two', 2, 1), held],
])('%s', (_, newcomer, expected) => {
  expect(displacedBy(newcomer, held)).toEqual(expected)
})
