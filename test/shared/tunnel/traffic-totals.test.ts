import { expect, it } from 'vitest'
import { Counters } from '../../../shared/tunnel/counters.ts'
import type { Closed } from '../../../shared/tunnel/link.ts'
import { otherPeers, TrafficTotals } from '../../../shared/tunnel/traffic-totals.ts'

const sessionOf = (numStreams: number) => {
  const { promise: closed, resolve } = Promise.withResolvers<Closed>()
  const counters = new Counters()
  counters.streamsOpened = numStreams
  const end = async () => {
    resolve({ code: 1000, reason: '', by: 'peer' })
    await closed
    await closed
  }
  return { counters: counters.snapshot(), closed, end }
}

it('keeps a bounded number of peers that are away, and loses no count', async () => {
  const traffic = new TrafficTotals(2)
  const staying = sessionOf(1_000)
  traffic.connected('staying', staying)
  for (const [at, name] of ['a', 'b', 'c', 'd', 'e'].entries()) {
    const session = sessionOf(10 ** (at % 3))
    traffic.connected(name, session)
    await session.end()
  }
  const streams = () =>
    Object.fromEntries(
      [...traffic.totals()].map(([name, { counters }]) => [name, counters.streamsOpened]),
    )
  expect(streams()).toEqual({ [otherPeers]: 1 + 10 + 100 + 1, e: 10, staying: 1_000 })
  await staying.end()
  expect(streams()).toEqual({ [otherPeers]: 1 + 10 + 100 + 1 + 10, staying: 1_000 })
})
