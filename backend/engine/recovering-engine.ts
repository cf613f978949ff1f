/** An engine that comes back: when the one inside dies, the next is started, until too many have died. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../shared/log.ts'
import { engineUnavailable, ThreadStuck, type Engine, type EngineState } from './engine.ts'
import { noStats, type EngineStats, type GenerationRequest } from './generation.ts'
import type { GenerationStream } from './generation-stream.ts'
import { defaultRestartLimits, RestartPolicy, type RestartLimits } from './restart-policy.ts'

/** An engine that can die. */
export type MortalEngine = Engine & {
  /** Resolves with the reason when its requests have ended and no thread of it is left. */
  readonly ended: Promise<Error>
}

export type RecoveringEngineOptions = {
  /** Loads an engine; the one before has ended. Once aborted, while it loads or later, it ends. */
  readonly start: (signal: AbortSignal) => Promise<MortalEngine>
  readonly log: Log
  readonly limits?: RestartLimits
}

export class RecoveringEngine implements Engine {
  /** Resolves with the reason when no engine is started any more; never rejects. */
  readonly ended: Promise<Error>
  readonly #options: RecoveringEngineOptions
  readonly #policy: RestartPolicy
  readonly #stop: AbortController
  /** null: between two lives. */
  #engine: MortalEngine | null
  #isClosing = false
  #hasEnded = false
  #restarts = 0
  /** Of the engines that have ended. */
  #past: EngineStats = noStats
  /** How long the last load took, and when the next is to begin. */
  #loadMs: number
  #nextStartMs = 0

  private constructor(
    options: RecoveringEngineOptions,
    first: { engine: MortalEngine; loadMs: number; stop: AbortController },
  ) {
    this.#options = options
    this.#policy = new RestartPolicy(options.limits ?? defaultRestartLimits)
    this.#engine = first.engine
    this.#loadMs = first.loadMs
    this.#stop = first.stop
    this.ended = this.#supervise().finally(() => (this.#hasEnded = true))
  }

  /** @throws what the first start does: a model that cannot be loaded could not be the next time */
  static async start(options: RecoveringEngineOptions): Promise<RecoveringEngine> {
    const startedAt = performance.now()
    const stop = new AbortController()
    const engine = await options.start(stop.signal)
    return new RecoveringEngine(options, { engine, loadMs: performance.now() - startedAt, stop })
  }

  get state(): EngineState {
    if (this.#hasEnded || this.#isClosing) return 'ended'
    return this.#engine?.state === 'ok' ? 'ok' : 'recovering'
  }

  get restarts(): number {
    return this.#restarts
  }

  add(request: GenerationRequest): GenerationStream {
    return this.#running().add(request)
  }

  addAll(requests: readonly GenerationRequest[]): readonly GenerationStream[] {
    return this.#running().addAll(requests)
  }

  /** Counted over all engines, those that died too. */
  stats(): EngineStats {
    return this.#engine === null ? this.#past : sumOf(this.#past, this.#engine.stats())
  }

  async close(): Promise<void> {
    this.#isClosing = true
    // Nobody waits for one that is still loading.
    if (this.#engine === null) this.#stop.abort(new Error('the engine was closed'))
    else await this.#engine.close()
    await this.ended
  }

  #running(): MortalEngine {
    if (this.#engine?.state === 'ok') return this.#engine
    const waitMs = Math.max(0, this.#nextStartMs - performance.now()) + this.#loadMs
    throw engineUnavailable(Math.max(1, Math.ceil(waitMs / 1000)))
  }

  /** One life after the other. @returns why there is no next one */
  async #supervise(): Promise<Error> {
    const { log } = this.#options
    for (;;) {
      const reason = await this.#live()
      // Another engine would stand beside the one that is stuck, in twice the memory.
      if (this.#isClosing || reason instanceof ThreadStuck) return reason
      const restartInMs = this.#policy.died(performance.now())
      if (restartInMs === null) return this.#policy.givenUp(reason)
      log.error('the engine has died', { reason: reason.message, restartInMs })
      this.#nextStartMs = performance.now() + restartInMs
      // Aborted by close(): the next life then ends before it begins.
      await sleep(restartInMs, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  /** Starts an engine unless one runs. @returns the reason of its end, or why it could not start */
  async #live(): Promise<Error> {
    try {
      this.#engine ??= await this.#startNext()
      const reason = await this.#engine.ended
      this.#past = sumOf(this.#past, this.#engine.stats())
      return reason
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    } finally {
      this.#engine = null
    }
  }

  async #startNext(): Promise<MortalEngine> {
    const startedAt = performance.now()
    const engine = await this.#options.start(this.#stop.signal)
    this.#loadMs = performance.now() - startedAt
    this.#restarts++
    this.#options.log.info('the engine is back', { restarts: this.#restarts })
    return engine
  }
}

const sumOf = (a: EngineStats, b: EngineStats): EngineStats => ({
  running: a.running + b.running,
  waiting: a.waiting + b.waiting,
  prefixCacheQueries: a.prefixCacheQueries + b.prefixCacheQueries,
  prefixCacheHits: a.prefixCacheHits + b.prefixCacheHits,
  preemptions: a.preemptions + b.preemptions,
  generatedTokens: a.generatedTokens + b.generatedTokens,
  prefilledTokens: a.prefilledTokens + b.prefilledTokens,
  tokensInFlight: a.tokensInFlight + b.tokensInFlight,
  kvCacheFree: b.kvCacheFree,
})
