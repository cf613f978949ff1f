/** The engine as the HTTP thread sees it: add a request, read its stream, abort it. */
import { Worker } from 'node:worker_threads'
import { ApiError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { createHandleMemory } from '../onnxruntime/handle-table.ts'
import { checkRequest } from './check-request.ts'
import {
  noStats,
  type EngineStats,
  type GenerationRequest,
  type ThreadStats,
} from './generation.ts'
import { GenerationStream } from './generation-stream.ts'
import type { EngineThreadData, FromEngine, ToEngine } from './messages.ts'
import { TokensInFlight } from './tokens-in-flight.ts'
import { createStepMarks, StepWatch } from './step-watch.ts'

/** `recovering`: it died and is being started again; `ended`: it takes requests no more. */
export type EngineState = 'ok' | 'recovering' | 'ended'

/** What routes need of an engine; a second one (an upstream such as vLLM) fits behind it. */
export interface Engine {
  readonly state: EngineState
  /** How often it was started again. */
  readonly restarts: number
  /**
   * @param request its id is unlike that of every request still in the engine
   * @throws ApiError 503 when too many requests wait or the engine does not run; RangeError for a
   * request that it could not compute
   */
  add(request: GenerationRequest): GenerationStream
  /** Adds all or, when it throws as `add` does, none. */
  addAll(requests: readonly GenerationRequest[]): readonly GenerationStream[]
  stats(): EngineStats
  /** Ends the thread; what still runs ends with `error`. Idempotent. */
  close(): Promise<void>
}

/** 503: the engine does not run, and may again after some seconds. */
export const engineUnavailable = (retryAfterSeconds: number): ApiError =>
  new ApiError(503, 'The engine is not running: try again shortly.', {
    type: 'service_unavailable_error',
    code: 'engine_unavailable',
    retryAfterSeconds,
  })

export type OnnxEngineOptions = Omit<EngineThreadData, 'handles' | 'stepMarks'> & {
  /** Requests in the engine at most, running and waiting; more are refused. */
  readonly maxNumRequests: number
  /** A step that takes longer is stuck, and the engine ends. Default: {@link defaultStepTimeoutMs}. */
  readonly stepTimeoutMs?: number | undefined
}

/** Far more than 256 tokens take on a slow machine, and less than clients wait for an answer. */
export const defaultStepTimeoutMs = 300_000

/** A thread that was told to end, and has not after so long, is stuck outside of JavaScript. */
const longestEndMs = 10_000

/**
 * The engine has ended, but a thread of it is in native code that does not return: what it holds cannot be
 * released, and Node would wait for it at any exit.
 */
export class ThreadStuck extends Error {
  override readonly name = 'ThreadStuck'
}

export type OnnxEngineSurroundings = {
  readonly log?: Log
  /** Of the engine before this one, which has ended; what it left behind is released. */
  readonly handles?: SharedArrayBuffer
  /** Ends the engine at once, also while it loads. */
  readonly signal?: AbortSignal
}

export class OnnxEngine implements Engine {
  /** Resolves when the thread has ended, with the reason, or with ThreadStuck when it cannot be ended; never rejects. */
  readonly ended: Promise<Error>
  readonly restarts = 0
  readonly #worker: Worker
  readonly #options: OnnxEngineOptions
  readonly #log: Log | undefined
  readonly #streams = new Map<string, GenerationStream>()
  readonly #inFlight = new TokensInFlight()
  readonly #ready = Promise.withResolvers<void>()
  readonly #ended = Promise.withResolvers<Error>()
  readonly #watch: StepWatch
  #stats: ThreadStats = noStats
  #state: 'running' | 'closing' | 'ended' = 'running'
  /** Why the thread was told to end at once. */
  #givenUp: Error | undefined
  #endTimer: NodeJS.Timeout | undefined

  private constructor(
    worker: Worker,
    options: OnnxEngineOptions,
    log: Log | undefined,
    stepMarks: SharedArrayBuffer,
  ) {
    this.#worker = worker
    this.#options = options
    this.#log = log
    this.ended = this.#ended.promise
    const timeoutMs = options.stepTimeoutMs ?? defaultStepTimeoutMs
    this.#watch = new StepWatch(stepMarks, timeoutMs, () => this.#giveUp(timeoutMs))
    worker.on('message', (message: FromEngine) => this.#receive(message))
    let thrown: Error | undefined
    worker.once('error', (error) => (thrown = error))
    // Only now has every message of the thread been received.
    worker.once('exit', () => {
      this.#end(this.#givenUp ?? thrown ?? new Error('the engine thread has ended'))
    })
  }

  /** Loads the model in a thread of its own. @throws what the thread threw while loading */
  static async start(
    options: OnnxEngineOptions,
    { log, signal, handles = createHandleMemory() }: OnnxEngineSurroundings = {},
  ): Promise<OnnxEngine> {
    signal?.throwIfAborted()
    const stepMarks = createStepMarks()
    const workerData: EngineThreadData = { ...options, handles, stepMarks }
    const worker = new Worker(new URL('./thread.ts', import.meta.url), { workerData })
    const engine = new OnnxEngine(worker, options, log, stepMarks)
    const terminate = (): void => void worker.terminate()
    signal?.addEventListener('abort', terminate)
    void engine.ended.then(() => signal?.removeEventListener('abort', terminate))
    const failure = await Promise.race([engine.#ready.promise, engine.ended])
    if (failure) throw failure
    return engine
  }

  get state(): EngineState {
    return this.#state === 'running' ? 'ok' : 'ended'
  }

  add(request: GenerationRequest): GenerationStream {
    this.#check([request])
    return this.#start(request)
  }

  addAll(requests: readonly GenerationRequest[]): readonly GenerationStream[] {
    this.#check(requests)
    return requests.map((request) => this.#start(request))
  }

  #check(requests: readonly GenerationRequest[]): void {
    if (this.#state !== 'running') throw engineUnavailable(1)
    for (const request of requests) {
      checkRequest(request, this.#options)
      if (this.#streams.has(request.id))
        throw new Error(`request ${request.id} is in the engine already`)
    }
    if (this.#streams.size + requests.length <= this.#options.maxNumRequests) return
    throw new ApiError(503, 'Too many requests wait for the engine: try again shortly.', {
      type: 'service_unavailable_error',
      code: 'server_is_overloaded',
      retryAfterSeconds: 1,
    })
  }

  #start(request: GenerationRequest): GenerationStream {
    const stream = new GenerationStream(() => this.#tell({ type: 'abort', id: request.id }))
    this.#tell({ type: 'add', request })
    this.#streams.set(request.id, stream)
    this.#inFlight.add(request)
    return stream
  }

  stats(): EngineStats {
    const { running } = this.#stats
    return {
      ...this.#stats,
      waiting: Math.max(0, this.#streams.size - running),
      tokensInFlight: this.#inFlight.total,
      kvCacheFree: 1 - running / this.#options.numSlots,
    }
  }

  async close(): Promise<void> {
    if (this.#state === 'running') {
      this.#state = 'closing'
      this.#tell({ type: 'close' })
    }
    await this.ended
  }

  #tell(message: ToEngine): void {
    if (this.#state !== 'ended') this.#worker.postMessage(message)
  }

  #receive(message: FromEngine): void {
    if (message.type === 'ready') return this.#ready.resolve()
    this.#stats = message.stats
    for (const event of message.events) {
      this.#streams.get(event.id)?.push(event)
      this.#inFlight.told(event)
      if (event.reason !== undefined)
        this.#log?.error('generation failed', { request: event.id, reason: event.reason })
      if (event.end) this.#streams.delete(event.id)
    }
  }

  /** A step is stuck: nobody is to wait for it any longer. */
  #giveUp(timeoutMs: number): void {
    const reason = `a step took longer than ${timeoutMs / 1000} s: if it was not stuck, give a larger --step-timeout`
    this.#givenUp = new Error(reason)
    this.#failAll()
    const stuck = new ThreadStuck(`${reason}; its thread cannot be ended`)
    const endMs = Math.min(longestEndMs, timeoutMs)
    this.#endTimer = setTimeout(() => this.#ended.resolve(stuck), endMs)
    void this.#worker.terminate()
  }

  #end(reason: Error): void {
    this.#watch.close()
    clearTimeout(this.#endTimer)
    this.#failAll()
    this.#ended.resolve(reason)
  }

  #failAll(): void {
    this.#state = 'ended'
    for (const stream of this.#streams.values()) stream.fail()
    this.#streams.clear()
    this.#inFlight.clear()
    this.#stats = { ...this.#stats, running: 0, waiting: 0 }
  }
}
