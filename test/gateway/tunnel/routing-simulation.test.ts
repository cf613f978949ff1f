/**
 * The routing as it is, over simulated backends: what the choice by tokens in flight is worth where
 * lengths are skewed. No clock but the simulation's own.
 */
import { expect, test } from 'vitest'
import { BackendLoad } from '../../../gateway/tunnel/backend-load.ts'
import { chooseBackend } from '../../../gateway/tunnel/choose-backend.ts'
import { expectedAnswerTokens } from '../../../shared/expected-tokens.ts'

/** Sequences computed together, and tokens that each gets a second. */
const slots = 8
const tokensPerSecond = 50
const promptTokensPerSecond = 2000
const statusSeconds = 1

type Request = { readonly at: number; readonly prompt: number; readonly answer: number }
type Running = { readonly id: number; readonly request: Request; readonly endsAt: number }

class SimulatedBackend {
  readonly load = new BackendLoad()
  readonly openStreams = 0
  readonly isDoubtful = false
  lastChosen = 0
  readonly backendId: string
  readonly waits: number[] = []
  readonly #running: Running[] = []
  readonly #queue: Request[] = []
  #ids = 0

  constructor(backendId: string) {
    this.backendId = backendId
  }

  take(request: Request): void {
    this.#queue.push(request)
    this.advance(request.at)
  }

  /** Lets what ends until `now` end, and others begin in its place. */
  advance(now: number): void {
    for (;;) {
      const next = this.#running.toSorted((a, b) => a.endsAt - b.endsAt)[0]
      if (this.#running.length < slots && this.#queue.length > 0) {
        this.#begin(now)
      } else if (next && next.endsAt <= now) {
        this.#running.splice(this.#running.indexOf(next), 1)
        if (this.#queue.length > 0) this.#begin(next.endsAt)
      } else {
        return
      }
    }
  }

  report(now: number): void {
    this.advance(now)
    // As the engine counts: it does not know either how long an answer becomes.
    const running = this.#running.length * expectedAnswerTokens()
    const waiting = this.#queue.reduce(
      (sum, { prompt }) => sum + prompt + expectedAnswerTokens(),
      0,
    )
    this.load.reported(
      {
        running: this.#running.length,
        waiting: this.#queue.length,
        tokensInFlight: running + waiting,
      },
      now * 1000,
    )
  }

  #begin(now: number): void {
    const request = this.#queue.shift()
    if (!request) return
    const startsAt = Math.max(now, request.at)
    const firstToken = startsAt + request.prompt / promptTokensPerSecond
    this.waits.push(firstToken - request.at)
    const endsAt = firstToken + request.answer / tokensPerSecond
    this.#running.push({ id: ++this.#ids, request, endsAt })
  }
}

/** mulberry32 */
const randomOf = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

/** Most are short, some are forty times as long; 85 % of what the backends can do. */
const skewedRequests = (count: number, numBackends: number, seed: number): Request[] => {
  const random = randomOf(seed)
  const requests = Array.from({ length: count }, () => {
    const isLong = random() < 0.1
    return {
      prompt: Math.round((isLong ? 4000 : 200) * (0.5 + random())),
      answer: Math.round((isLong ? 1500 : 60) * (0.5 + random())),
    }
  })
  const seconds = requests.reduce(
    (sum, { prompt, answer }) => sum + prompt / promptTokensPerSecond + answer / tokensPerSecond,
    0,
  )
  const gap = seconds / (slots * numBackends * 0.85) / count
  let at = 0
  return requests.map((request) => {
    at += -Math.log(1 - random()) * gap
    return { ...request, at }
  })
}

type Choose = (backends: SimulatedBackend[], index: number) => SimulatedBackend | null

/** Seconds to the first token of all requests, sorted. */
const simulate = (choose: Choose, requests: readonly Request[], numBackends: number): number[] => {
  const backends = Array.from({ length: numBackends }, (_, i) => new SimulatedBackend(`be_${i}`))
  let nextStatus = statusSeconds
  for (const [index, request] of requests.entries()) {
    for (; nextStatus <= request.at; nextStatus += statusSeconds) {
      for (const backend of backends) backend.report(nextStatus)
    }
    const backend = choose(backends, index)
    if (!backend) throw new Error('nobody')
    // As the gateway counts it: it knows the prompt's length, and not the answer's.
    backend.load.sent(request.prompt + expectedAnswerTokens(), request.at * 1000)
    backend.lastChosen = index
    backend.take(request)
  }
  for (const backend of backends) backend.advance(Infinity)
  return backends.flatMap(({ waits }) => waits).sort((a, b) => a - b)
}

const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.floor(sorted.length * p)] ?? NaN

const byTokens: Choose = (backends) =>
  chooseBackend(
    backends.map((backend) => ({
      backend,
      backendId: backend.backendId,
      openStreams: backend.openStreams,
      isDoubtful: backend.isDoubtful,
      lastChosen: backend.lastChosen,
      load: backend.load.tokens,
    })),
  )?.backend ?? null

const inTurn: Choose = (backends, index) => backends[index % backends.length] ?? null

test.each([1, 2, 3, 4, 5])(
  'with skewed lengths, the fewest tokens in flight save a third of the p99 to the first token (seed %i)',
  (seed) => {
    const requests = skewedRequests(4000, 4, seed)
    const tokens = simulate(byTokens, requests, 4)
    const turns = simulate(inTurn, requests, 4)

    expect([tokens.length, turns.length]).toEqual([4000, 4000])
    expect(percentile(tokens, 0.99)).toBeLessThan((percentile(turns, 0.99) * 2) / 3)
    expect(percentile(tokens, 0.5)).toBeLessThanOrEqual(percentile(turns, 0.5) * 1.05)
  },
)

test('a burst between two STATUS is spread evenly', () => {
  const burst = Array.from({ length: 32 }, (_, i) => ({ at: i / 1e6, prompt: 100, answer: 50 }))
  const counts = new Map<string, number>()
  const counting: Choose = (backends, index) => {
    const chosen = byTokens(backends, index)
    if (chosen) counts.set(chosen.backendId, (counts.get(chosen.backendId) ?? 0) + 1)
    return chosen
  }
  simulate(counting, burst, 4)
  expect([...counts.values()]).toEqual([8, 8, 8, 8])
})
