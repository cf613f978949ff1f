/** How a gateway goes away: nothing new is taken, what runs finishes or is cut, and all is in the books. */
import { setTimeout as delay } from 'node:timers/promises'
import { ApiError } from '../shared/errors.ts'
import type { ActiveRequests } from './active-requests.ts'
import type { HttpServer } from './http-server.ts'
import type { BackendRegistry } from './tunnel/registry.ts'

/** How a drain ended. */
export type Drained = {
  /** Requests that were cut at its end. */
  readonly cut: number
}

export type ShutdownOptions = {
  readonly active: ActiveRequests
  readonly registry: BackendRegistry
  /** Of exposed services: requests, and WebSockets that `close` cuts, since they may last for ever. */
  readonly visits: {
    readonly count: number
    idle(): Promise<void>
    close(): void
  }
  /** How long running requests may take unless a drain says otherwise. */
  readonly graceMs: number
}

/** For requests cut at the end of the grace: their backends' final counts are under way. */
const finalCountsMs = 2_000

export class Shutdown {
  /** Resolves when somebody has asked for it by `ask`; it has begun then. */
  readonly asked: Promise<void>
  readonly #options: ShutdownOptions
  readonly #asked = Promise.withResolvers<void>()
  readonly #server = Promise.withResolvers<Pick<HttpServer, 'finish' | 'close'>>()
  readonly #hurry = new AbortController()
  #isDraining = false
  #drained: Promise<Drained> | undefined

  constructor(options: ShutdownOptions) {
    this.#options = options
    this.asked = this.#asked.promise
  }

  /** Whether the gateway takes no new requests any more. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  /** The gateway serves: from now on it can be stopped. */
  serving(server: Pick<HttpServer, 'finish' | 'close'>): void {
    this.#server.resolve(server)
  }

  /** Idempotent: the first call's grace holds. Resolves when nothing of the gateway serves any more. */
  drain(graceMs = this.#options.graceMs): Promise<Drained> {
    return (this.#drained ??= this.#stop(graceMs))
  }

  /** Does not wait for what runs any longer. */
  hurry(): void {
    this.#hurry.abort()
  }

  /** `drain`, for the control API, which must be there until it has told of the end. */
  async ask(graceMs: number): Promise<Drained> {
    await this.#server.promise
    this.#asked.resolve()
    return this.drain(graceMs)
  }

  async #stop(graceMs: number): Promise<Drained> {
    const { active, registry, visits } = this.#options
    const { signal } = this.#hurry
    const server = await this.#server.promise
    this.#isDraining = true
    const deadline = performance.now() + graceMs
    const leftMs = () => Math.max(0, Math.round(deadline - performance.now()))
    const finished = Promise.all([server.finish(), active.idle(), visits.idle()])
    // What was let in may still need the connections of now.
    await waitFor(active.allPlaced(), leftMs(), signal)
    registry.goaway({ code: 'DRAINING', deadlineMs: leftMs(), message: 'the gateway stops' })
    await waitFor(finished, leftMs(), signal)
    const cut = active.count + visits.count
    active.abortAll(shuttingDown())
    visits.close()
    await waitFor(active.idle(), finalCountsMs)
    registry.close()
    await active.idle()
    await server.close()
    return { cut }
  }
}

const shuttingDown = (): ApiError =>
  new ApiError(503, 'The gateway is shutting down.', {
    type: 'service_unavailable_error',
    code: 'gateway_draining',
  })

/** Waits for `done`, at most `ms`, and no longer once `hurry` aborts. */
export const waitFor = async (
  done: Promise<unknown>,
  ms: number,
  hurry?: AbortSignal,
): Promise<void> => {
  const over = new AbortController()
  const signal = hurry ? AbortSignal.any([over.signal, hurry]) : over.signal
  const late = delay(ms, undefined, { signal }).catch(() => {})
  await Promise.race([done, late])
  over.abort()
}
