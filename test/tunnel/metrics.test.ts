/** The metrics of both ends, over real sockets, against what was really done. */
import { expect, test } from 'vitest'
import { TrafficTotals } from '../../shared/tunnel/traffic-totals.ts'
import { tunnelMetrics } from '../../shared/tunnel/tunnel-metrics.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { samplesOf } from '../support/scraped.ts'
import { fastTiming, testRequest, until } from '../support/tunnel-pair.ts'
import { dialFor, gatewayFor, relayTo } from './for-one-test.ts'

const bodyBytes = 300_000

/** `/wait`: an answer that nobody ends; else the body comes back. */
const handler: TunnelHandler = async (request) => {
  if (!request.url.includes('wait')) return new Response(request.body)
  return new Response(new ReadableStream({ start: (c) => c.enqueue(new Uint8Array(1)) }))
}

test('both ends agree to the byte, through resets, a stall, and a connection that breaks', async () => {
  const gateway = await gatewayFor(fastTiming)
  const { relay, url } = await relayTo(gateway)
  const traffic = new TrafficTotals()
  const tunnel = dialFor({ url, handler, traffic, timing: fastTiming })
  const host = new URL(url).host
  const backendMetrics = () =>
    tunnelMetrics({ side: 'backend', peers: tunnel.report(), totals: traffic.totals() })
  /** The backend's numbers under the gateway's labels. */
  const mirrored = (...names: string[]) =>
    Object.fromEntries(
      Object.entries(samplesOf(backendMetrics(), ...names)).map(([series, value]) => [
        series
          .replace(`gateway="${host}"`, 'backend="a"')
          .replace(/"(sent|received)"/, (_, way) => (way === 'sent' ? '"received"' : '"sent"')),
        value,
      ]),
    )
  const ours = (...names: string[]) => samplesOf(gateway.registry.metrics(), ...names)
  const twoWays = ['bytes_total', 'messages_total', 'frames_total']
  const picked = () => {
    const connection = gateway.registry.pick('tiny')
    if (!connection) throw new Error('no connection')
    return connection
  }

  await tunnel.connected
  const numEchoes = 20
  const bodies = await Promise.all(
    Array.from({ length: numEchoes }, async () => {
      const exchange = picked().open(testRequest(new Uint8Array(bodyBytes)))
      return (await new Response(exchange.body).arrayBuffer()).byteLength
    }),
  )
  expect(bodies).toEqual(Array(numEchoes).fill(bodyBytes))
  const waiting = { ...testRequest(), path: '/wait' }
  for (let i = 0; i < 3; i++) {
    const exchange = picked().open(waiting)
    await exchange.head
    exchange.cancel('gone')
    await exchange.settled
  }
  // The backend may send one window, and then has to wait.
  const stalled = picked().open(testRequest(new Uint8Array(bodyBytes)))
  await stalled.head
  const stalls = () => samplesOf(backendMetrics(), 'window_stalls_total')
  const stallSeries = `window_stalls_total{gateway="${host}",window="stream"}`
  const before = stalls()[stallSeries] ?? 0
  await until(() => (stalls()[stallSeries] ?? 0) > 0, 'the answer stalls')
  expect(before).toBeLessThanOrEqual(stalls()[stallSeries] ?? 0)
  stalled.cancel('gone')
  await stalled.settled

  expect(ours('streams_total', 'streams_open', 'resets_total')).toEqual({
    'streams_total{backend="a"}': numEchoes + 4,
    'streams_open{backend="a"}': 0,
    'resets_total{backend="a",reason="CANCEL",by="gateway"}': 4,
  })
  expect(mirrored('streams_total', 'streams_open', 'resets_total')).toEqual(
    ours('streams_total', 'streams_open', 'resets_total'),
  )
  const agree = () => JSON.stringify(ours(...twoWays)) === JSON.stringify(swapped())
  const swapped = () => {
    const theirs = mirrored(...twoWays)
    return Object.fromEntries(Object.keys(ours(...twoWays)).map((key) => [key, theirs[key]]))
  }
  await until(agree, 'all that was sent has come')
  const { 'bytes_total{backend="a",direction="sent"}': sent = 0 } = ours('bytes_total')
  expect(sent).toBeGreaterThan((numEchoes + 1) * bodyBytes)
  await until(
    () => 'round_trip_seconds{backend="a",connection="0"}' in ours('round_trip_seconds'),
    'a PONG',
  )

  const held = ours(...twoWays, 'streams_total', 'resets_total')
  relay.cut()
  await until(() => ours('connects_total')['connects_total{backend="a"}'] === 2, 'it is back')
  for (const [series, value] of Object.entries(
    ours(...Object.keys(held).map((key) => key.split('{')[0] ?? '')),
  )) {
    expect(value, series).toBeGreaterThanOrEqual(held[series] ?? 0)
  }
  expect(mirrored('connects_total')).toEqual(ours('connects_total'))
  expect(ours('generation')).toEqual({ 'generation{backend="a",connection="0"}': 2 })
  expect(tunnel.report()).toMatchObject([
    { name: host, connections: [{ connectionIndex: 0, generation: 2, state: 'ready' }] },
  ])
})
