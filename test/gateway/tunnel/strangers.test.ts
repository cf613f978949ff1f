import { expect, test } from 'vitest'
import { Strangers } from '../../../gateway/tunnel/strangers.ts'

/** Connections with names, and who of them was closed. */
const comers = () => {
  const closed: string[] = []
  const comer = (name: string) => ({
    close: () => void closed.push(name),
    closed: new Promise<never>(() => {}),
  })
  return { closed, comer }
}

test('when one more comes, the oldest of whoever has the most makes room', () => {
  const { closed, comer } = comers()
  const strangers = new Strangers(4)
  strangers.add(comer('honest'), '192.0.2.1')
  for (let i = 0; i < 9; i++) strangers.add(comer(`flood ${i}`), '198.51.100.1')
  expect(closed).toEqual([0, 1, 2, 3, 4, 5].map((i) => `flood ${i}`))
})

test('of addresses that nobody knows, the oldest makes room', () => {
  const { closed, comer } = comers()
  const strangers = new Strangers(2)
  for (const name of ['a', 'b', 'c']) strangers.add(comer(name), null)
  expect(closed).toEqual(['a'])
})
