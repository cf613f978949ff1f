/** One turn of the soak: load and faults for a while, and then everything must come to rest. */
import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Books } from './books.ts'
import { sendRequest, type Outcome } from './client.ts'
import { faultSchedule, type DueFault, type Fault } from './fault-schedule.ts'
import { resources, type Resources } from '../resources.ts'
import { maxStreams, type SoakedSystem } from './system.ts'
import type { Violations } from './violations.ts'
import { plainLink } from '../../../support/relay/link-shape.ts'
import { model, randomWork, type Ask } from './work.ts'
import type { Workshop } from './workshop.ts'

export const turnMs = 12_000
/** Between two faults, on average. */
const faultEveryMs = 700
/** No request takes longer, whatever happens to it. */
const stuckAfterMs = 30_000
/** Time to come to rest in: longer than every silence, retry and resend. */
const restMs = 15_000

export type TurnOptions = {
  readonly seed: number
  readonly numClients: number
  readonly system: SoakedSystem
  readonly workshop: Workshop
  readonly books: Books
  readonly violations: Violations
}

/** Numbers of things by name. */
export class Tally {
  readonly counts = new Map<string, number>()

  add(name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by)
  }

  toString(): string {
    return [...this.counts]
      .toSorted(([, a], [, b]) => b - a)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  }
}

export class Turns {
  readonly outcomes = new Tally()
  readonly faults = new Tally()
  readonly sources = new Tally()
  readonly rests: Resources[] = []
  readonly #options: TurnOptions
  readonly #agent = new Agent({ keepAlive: true })
  readonly #startedAt = new Map<number, number>() // by request number
  #nextRequest = 0
  #restarts: Promise<void>[] = []

  constructor(options: TurnOptions) {
    this.#options = options
  }

  async run(turn: number): Promise<void> {
    const { numClients } = this.#options
    const over = new AbortController()
    const watch = setInterval(() => this.#lookForStuck(), 1_000)
    const clients = Array.from({ length: numClients }, () => this.#client(over.signal))
    await this.#playFaults(turn)
    over.abort()
    await this.#heal()
    await this.#until('the clients end', () => this.#startedAt.size === 0)
    clearInterval(watch)
    if (this.#startedAt.size === 0) await Promise.all(clients)
    await this.#comeToRest()
  }

  async #client(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const index = this.#nextRequest++
      const { ask, manner } = randomWork(this.#options.seed, index)
      this.outcomes.add(await this.#send(index, ask, manner))
      // Who is turned down comes again a little later.
      await sleep(20)
    }
  }

  async #send(
    index: number,
    ask: Ask,
    manner: ReturnType<typeof randomWork>['manner'],
  ): Promise<Outcome> {
    const { system, violations } = this.#options
    const { url, key } = system
    this.#startedAt.set(index, performance.now())
    try {
      return await sendRequest({ url, key, violations, agent: this.#agent }, ask, manner)
    } finally {
      this.#startedAt.delete(index)
    }
  }

  #lookForStuck(): void {
    const { violations } = this.#options
    for (const [index, startedAt] of this.#startedAt) {
      if (performance.now() - startedAt < stuckAfterMs) continue
      violations.add(`request ${index} is stuck`)
      this.#startedAt.delete(index)
    }
  }

  async #playFaults(turn: number): Promise<void> {
    const { seed, system } = this.#options
    const numBackends = system.backends.length
    const startedAt = performance.now()
    for (const due of faultSchedule(seed, turn, { turnMs, everyMs: faultEveryMs, numBackends })) {
      await sleep(Math.max(0, startedAt + due.atMs - performance.now()))
      this.faults.add(due.fault.kind)
      this.#apply(due)
    }
    await sleep(Math.max(0, startedAt + turnMs - performance.now()))
  }

  #apply({ backend, fault }: DueFault): void {
    const { system } = this.#options
    const target = system.backends[backend]
    if (!target) return
    const { relay } = target
    const healLater = (heal: () => void, forMs: number) => {
      this.#restarts.push(sleep(forMs).then(heal))
    }
    switch (fault.kind) {
      case 'cut':
      case 'reset':
      case 'finish':
        return relay[fault.kind]()
      case 'blackhole':
        relay.blackhole(fault.which)
        return healLater(() => relay.heal(), fault.forMs)
      case 'refuse':
        relay.refuse()
        return healLater(() => relay.heal(), fault.forMs)
      case 'stall':
        return relay.stall(fault.forMs)
      case 'reshape':
        relay.reshape(fault.shape)
        return healLater(() => relay.reshape(plainLink), fault.forMs)
      default:
        this.#restarts.push(this.#restart(fault, backend))
    }
  }

  async #restart(
    fault: Extract<Fault, { kind: 'restart backend' | 'restart gateway' }>,
    backend: number,
  ): Promise<void> {
    const { system } = this.#options
    if (fault.kind === 'restart gateway') await system.restartGateway(fault.graceMs)
    else await system.backends[backend]?.restart(fault.graceMs)
  }

  async #heal(): Promise<void> {
    await Promise.all(this.#restarts)
    this.#restarts = []
    for (const { relay } of this.#options.system.backends) {
      relay.heal()
      relay.reshape(plainLink)
    }
  }

  async #comeToRest(): Promise<void> {
    const { system, workshop, books, violations } = this.#options
    const { backends } = system
    await this.#until(
      'all backends are back, once each',
      async () => (await system.numConnected()) === backends.length,
    )
    await this.#until('all work has stopped', () => workshop.numRunning === 0)
    await this.#fillAllStreams()
    await this.#until('the books are complete', () => books.isComplete(workshop))
    for (const [source, count] of books.check(workshop, violations)) this.sources.add(source, count)
    workshop.forget()
    await this.#letGo()
  }

  /** A stream that leaked on either side would be missing now. */
  async #fillAllStreams(): Promise<void> {
    const { system, workshop } = this.#options
    const count = maxStreams * system.backends.length
    const asks = Array.from({ length: count }, () =>
      this.#send(this.#nextRequest++, holding, { leavesAfterBytes: Infinity, readPauseMs: 0 }),
    )
    await this.#until(`${count} streams are open at once`, () => workshop.numRunning === count)
    workshop.release()
    const outcomes = new Set(await Promise.all(asks))
    if (outcomes.size !== 1 || !outcomes.has('whole')) {
      this.#options.violations.add(`of ${count} at once: ${[...outcomes].join(', ')}`)
    }
  }

  /** Sockets and timers are those of the first rest. */
  async #letGo(): Promise<void> {
    this.#agent.destroy()
    const first = this.rests[0]
    let now = await resources()
    if (first) {
      await this.#until('all sockets and timers are gone', async () => {
        now = await resources()
        return now.sockets <= first.sockets && now.timers <= first.timers + 2
      })
    } else {
      // What closes slowly is not to count as there for ever.
      await sleep(5_000)
      now = await resources()
    }
    this.rests.push(now)
  }

  async #until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + restMs
    while (!(await holds())) {
      if (performance.now() > deadline) {
        this.#options.violations.add(`not within ${restMs} ms: ${what}`)
        return
      }
      await sleep(50)
    }
  }
}

const holding: Ask = {
  model,
  stream: false,
  seed: 1,
  kind: 'hold',
  numPieces: 1,
  pieceChars: 10,
  headMs: 0,
  pauseMs: 0,
  failsAt: -1,
  upload: '',
}
