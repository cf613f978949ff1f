/** What is measured of each system. */
import type { Ask } from './answers.ts'

export type Scenario = {
  readonly name: string
  readonly ask: Ask
  /** Each has one request under way at a time. */
  readonly clients: number
  /** Requests go on for so long; 0: each client sends one. */
  readonly seconds: number
}

const events = (clients: number): Scenario => ({
  name: `events, ${clients}`,
  ask: { kind: 'events', count: 200, intervalMs: 0 },
  clients,
  seconds: 1,
})

const pacedEvents = (clients: number): Scenario => ({
  name: `paced events, ${clients}`,
  ask: { kind: 'events', count: 200, intervalMs: 10 },
  clients,
  seconds: 0,
})

export const scenarios: readonly Scenario[] = [
  { name: 'small JSON, 1', ask: { kind: 'json' }, clients: 1, seconds: 1 },
  { name: 'small JSON, 64', ask: { kind: 'json' }, clients: 64, seconds: 1 },
  events(1),
  events(20),
  events(200),
  pacedEvents(1),
  pacedEvents(20),
  pacedEvents(200),
  { name: 'bulk', ask: { kind: 'bulk', bytes: 64 * 1024 * 1024 }, clients: 1, seconds: 0 },
]

/** What one run of a scenario gave. */
export type Measured = {
  readonly numRequests: number
  readonly numEvents: number
  readonly numBytes: number
  readonly requestsPerSecond: number
  readonly eventsPerSecond: number
  readonly bytesPerSecond: number
  /** Of a whole request, ms. */
  readonly latencyP50: number
  readonly latencyP99: number
  /** Between two events of a stream, ms. */
  readonly gapP50: number
  readonly gapP99: number
}

/** Where the load generator sends a scenario's requests. */
export type Target = { readonly port: number; readonly headers: Readonly<Record<string, string>> }

export type Order = { readonly scenario: Scenario; readonly target: Target }
