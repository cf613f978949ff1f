/** The load generator: gets an order, sends the requests, tells how they were answered. */
import { askBody, path } from '../answers.ts'
import { HttpClient } from '../load/http-client.ts'
import type { Measured, Order, Scenario, Target } from '../scenarios.ts'
import { childSettings, ready } from './child-port.ts'

/** Before the clock starts: connections, caches, compiled code. */
const warmUpRequests = 3

const LF = 10

const percentile = (values: number[], share: number): number => {
  const sorted = values.sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

const message = ({ headers }: Target, { ask }: Scenario): Buffer => {
  const body = askBody(ask)
  const lines = Object.entries({
    host: 'bench',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
}

class Samples {
  numRequests = 0
  numEvents = 0
  numBytes = 0
  readonly latencies: number[] = []
  readonly gaps: number[] = []
}

const ask = async (
  client: HttpClient,
  { target, scenario }: Order,
  samples: Samples,
): Promise<void> => {
  let previous: number | undefined
  let numLines = 0
  const startedAt = performance.now()
  const onBody = (piece: Buffer): void => {
    samples.numBytes += piece.byteLength
    if (scenario.ask.kind !== 'events') return
    const now = performance.now()
    // Each event has two of them, both at its end; pieces may be cut anywhere.
    for (let at = piece.indexOf(LF); at !== -1; at = piece.indexOf(LF, at + 1)) {
      if (++numLines % 2 === 1) continue
      samples.numEvents++
      if (previous !== undefined) samples.gaps.push(now - previous)
      previous = now
    }
  }
  const status = await client.request(message(target, scenario), onBody)
  if (status !== 200) throw new Error(`answered with ${status}`)
  samples.numRequests++
  samples.latencies.push(performance.now() - startedAt)
}

const measure = async (order: Order): Promise<Measured> => {
  const { scenario, target } = order
  const clients = await Promise.all(
    Array.from({ length: scenario.clients }, () => HttpClient.connect(target.port)),
  )
  if (scenario.seconds > 0) {
    const unmeasured = new Samples()
    await Promise.all(
      clients.map(async (client) => {
        for (let i = 0; i < warmUpRequests; i++) await ask(client, order, unmeasured)
      }),
    )
  }
  const samples = new Samples()
  const startedAt = performance.now()
  const endsAt = startedAt + scenario.seconds * 1_000
  await Promise.all(
    clients.map(async (client) => {
      do await ask(client, order, samples)
      while (performance.now() < endsAt)
    }),
  )
  const seconds = (performance.now() - startedAt) / 1_000
  for (const client of clients) client.close()
  if (scenario.ask.kind === 'events') {
    const due = samples.numRequests * scenario.ask.count
    if (samples.numEvents !== due) throw new Error(`${samples.numEvents} events, not ${due}`)
  }
  const { numRequests, numEvents, numBytes } = samples
  return {
    numRequests,
    numEvents,
    numBytes,
    requestsPerSecond: samples.numRequests / seconds,
    eventsPerSecond: samples.numEvents / seconds,
    bytesPerSecond: samples.numBytes / seconds,
    latencyP50: percentile(samples.latencies, 0.5),
    latencyP99: percentile(samples.latencies, 0.99),
    gapP50: percentile(samples.gaps, 0.5),
    gapP99: percentile(samples.gaps, 0.99),
  }
}

childSettings()
process.on('message', (order: Order | string) => {
  if (typeof order === 'string') return
  void measure(order).then((measured) => process.send?.(measured))
})
ready({})
