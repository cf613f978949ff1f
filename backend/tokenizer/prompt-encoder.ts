/**
 * Tokenises prompts without holding up the HTTP thread: short ones at once, long ones in a thread of their
 * own (encode-thread.ts). That one has a tokenizer of its own too, some 50 MB for a large vocabulary, so it
 * is there only while there are long prompts.
 */
import { Worker } from 'node:worker_threads'
import { ApiError } from '../../shared/errors.ts'
import type { EncodeAnswer, EncodeJob, EncodeThreadData } from './encode-thread.ts'
import { TextTakesTooLong } from './time-limited-tokenizer.ts'
import type { Tokenizer } from './tokenizer.ts'

export type PromptEncoderOptions = {
  /** Characters (UTF-16 units) from which on a text goes to the thread. */
  readonly longText?: number
  /** The thread ends after so long without work. */
  readonly idleMs?: number
  /** That a text may take in the thread. */
  readonly maxSeconds?: number
}

/** Takes some 20 ms. */
const defaultLongText = 16_384

/** So long a text may hold up the HTTP thread, which also goes to the other one then. */
export const maxSecondsHere = 0.25

const defaultIdleMs = 60_000

type WaitingJob = EncodeJob & {
  readonly resolve: (ids: number[]) => void
  readonly reject: (reason: unknown) => void
}

export class PromptEncoder {
  readonly #tokenizer: Tokenizer
  readonly #model: string
  readonly #options: PromptEncoderOptions
  /** The first one is in the thread's hands. */
  readonly #jobs: WaitingJob[] = []
  #thread: Worker | null = null
  #idleTimer: NodeJS.Timeout | undefined
  #isClosed = false

  /**
   * @param tokenizer of the calling thread, limited to {@link maxSecondsHere}
   * @param model where the thread loads its own from
   */
  constructor(tokenizer: Tokenizer, model: string, options: PromptEncoderOptions = {}) {
    this.#tokenizer = tokenizer
    this.#model = model
    this.#options = options
  }

  get hasThread(): boolean {
    return this.#thread !== null
  }

  /**
   * What {@link Tokenizer.encode} gives.
   * @param signal of a client who may leave
   * @throws InvalidRequest for a text that takes too long; ApiError 499 when the client has left
   */
  async encode(text: string, addSpecialTokens: boolean, signal?: AbortSignal): Promise<number[]> {
    if (text.length < (this.#options.longText ?? defaultLongText)) {
      try {
        return this.#tokenizer.encode(text, addSpecialTokens)
      } catch (error) {
        if (!(error instanceof TextTakesTooLong)) throw error
      }
    }
    return this.#encodeInThread({ text, addSpecialTokens }, signal)
  }

  /** Fails what is not encoded yet. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#idleTimer)
    for (const { reject } of this.#jobs.splice(0)) reject(closed())
    await this.#endThread()
  }

  async #encodeInThread(job: EncodeJob, signal: AbortSignal | undefined): Promise<number[]> {
    if (this.#isClosed) throw closed()
    if (signal?.aborted) throw clientLeft()
    const { promise, resolve, reject } = Promise.withResolvers<number[]>()
    const waiting = { ...job, resolve, reject }
    const leave = (): void => {
      reject(clientLeft())
      // What the thread has begun it ends.
      const index = this.#jobs.indexOf(waiting)
      if (index > 0) this.#jobs.splice(index, 1)
    }
    signal?.addEventListener('abort', leave)
    this.#jobs.push(waiting)
    if (this.#jobs.length === 1) this.#begin(job)
    try {
      return await promise
    } finally {
      signal?.removeEventListener('abort', leave)
    }
  }

  #begin({ text, addSpecialTokens }: EncodeJob): void {
    clearTimeout(this.#idleTimer)
    this.#thread ??= this.#start()
    this.#thread.postMessage({ text, addSpecialTokens } satisfies EncodeJob)
  }

  #start(): Worker {
    const workerData: EncodeThreadData = {
      model: this.#model,
      maxSeconds: this.#options.maxSeconds,
    }
    const thread = new Worker(new URL('./encode-thread.ts', import.meta.url), { workerData })
    // Whoever waits for it has a connection that keeps the process.
    thread.unref()
    let reason: unknown = new Error('the thread for long prompts has ended')
    thread.on('message', (answer: EncodeAnswer) => this.#finish(answer))
    thread.once('error', (error) => (reason = error))
    thread.once('exit', () => {
      if (this.#thread !== thread) return
      this.#thread = null
      if (this.#jobs.length > 0) this.#finish({ failure: reason })
    })
    return thread
  }

  /** A text that comes while it ends gets another. */
  async #endThread(): Promise<void> {
    const thread = this.#thread
    this.#thread = null
    await thread?.terminate()
  }

  #finish(answer: EncodeAnswer | { readonly failure: unknown }): void {
    const done = this.#jobs.shift()
    if ('ids' in answer) done?.resolve(answer.ids)
    else if ('tooLong' in answer) done?.reject(new TextTakesTooLong(answer.tooLong))
    else done?.reject(answer.failure)
    const [next] = this.#jobs
    if (next !== undefined) return this.#begin(next)
    const end = (): void => void this.#endThread()
    this.#idleTimer = setTimeout(end, this.#options.idleMs ?? defaultIdleMs).unref()
  }
}

const clientLeft = () => new ApiError(499, 'The client closed the request.')

const closed = () => new Error('the tokenizer was closed')
