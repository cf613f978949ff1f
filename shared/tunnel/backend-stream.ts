/** The backend's end of one stream: runs the handler, sends its answer, settles the count. SPEC.md, "Streams". */
import type { Log } from '../log.ts'
import type { Usage } from '../openai/usage.ts'
import { TunnelError } from './error.ts'
import type { ServedExchange, TunnelHandler } from './exchange.ts'
import { readWindow, windowFrame, type Frame } from './frame.ts'
import { limits, type Timing } from './limits.ts'
import { encodeEnd, encodeHead, parseReset, type Failure, type Open } from './message.ts'
import type { Outbox } from './outbox.ts'
import { ReceiveStream } from './receive-stream.ts'
import { SendStream } from './send-stream.ts'

export type BackendStreamOptions = {
  readonly streamId: number
  readonly outbox: Outbox
  readonly timing: Timing
  readonly log: Log
  /** Credit for the response body, as WELCOME said. */
  readonly sendWindowBytes: number
  /** Credit for the request body, as HELLO said. */
  readonly receiveWindowBytes: number
  /** END has left, or the connection has. Called once. */
  readonly closed: () => void
}

/** Requests carry no authority: the base only makes a URL of the path. */
const origin = 'http://backend'

const failedInside: Failure = { code: 'INTERNAL', message: 'the backend failed to answer' }

export class BackendStream implements ServedExchange {
  readonly requestId: string
  readonly upgradedBody: ReadableStream<Uint8Array> | null = null
  readonly #options: BackendStreamOptions
  // Held until the end: on Node a Request that nobody holds no longer passes its signal on.
  readonly #request: Request
  readonly #work = new AbortController()
  readonly #requestBody: ReceiveStream | undefined
  readonly #response: SendStream
  #bodyBytes = 0
  #hasWholeBody: boolean
  #responseReader: ReadableStreamDefaultReader<Uint8Array> | undefined
  #bodyStopped: Promise<void> | undefined
  #reported: Usage | null = null
  #final: Promise<Usage | null> | undefined
  #settleTimer: ReturnType<typeof setTimeout> | undefined
  /** Set once the answer can no longer succeed. */
  #failure: Failure | undefined
  #isEnded = false

  constructor(open: Open, options: BackendStreamOptions) {
    const { streamId, outbox } = options
    this.requestId = open.requestId
    this.#options = options
    this.#hasWholeBody = !open.hasBody
    if (open.hasBody) {
      this.#requestBody = new ReceiveStream({
        windowBytes: options.receiveWindowBytes,
        grant: (delta) => outbox.control(windowFrame(streamId, delta)),
        // A handler that does not want the rest gives no credit for it.
        cancelled: () => {},
      })
    }
    this.#response = new SendStream({
      streamId,
      windowBytes: options.sendWindowBytes,
      ready: () => outbox.ready(this.#response),
      ended: () => options.closed(),
    })
    const init: RequestInit & { duplex: 'half' } = {
      method: open.method,
      headers: open.headers,
      body: this.#requestBody?.readable ?? null,
      signal: this.#work.signal,
      duplex: 'half',
    }
    this.#request = new Request(origin + open.path, init)
  }

  reportUsage(usage: Usage): void {
    this.#reported = usage
  }

  usage(final: Promise<Usage | null>): void {
    this.#final = final
    // Read at the end, which may come after a rejection.
    final.catch(() => {})
  }

  /** Answers the request. Never rejects. */
  async run(handler: TunnelHandler): Promise<void> {
    try {
      const response = await handler(this.#request, this)
      if (!(response instanceof Response)) throw new Error('not yet')
      await this.#send(response)
    } catch (error) {
      this.#failWith(error)
    }
    this.#startSettling()
    await this.#bodyStopped
    await this.#countFinal()
    this.#end()
  }

  /** A frame of this stream. @throws TunnelError when it has no place in the present state */
  receive(frame: Frame): void {
    switch (frame.name) {
      case 'DATA':
        return this.#onData(frame.payload)
      case 'END':
        return this.#onBodyEnd()
      case 'RESET':
        return this.#stop(parseReset(frame.payload))
      case 'WINDOW':
        return this.#response.grant(readWindow(frame.payload))
      default:
        throw new TunnelError('PROTOCOL_ERROR', `${frame.name} from a gateway`)
    }
  }

  /** Nobody is left to answer: the work stops, and nothing more is said. */
  connectionLost(reason: string): void {
    this.#stop({ code: 'CONNECTION_LOST', message: reason })
    this.#isEnded = true
    clearTimeout(this.#settleTimer)
  }

  #onData(payload: Uint8Array): void {
    if (this.#hasWholeBody)
      throw new TunnelError('PROTOCOL_ERROR', 'DATA after END, or without a body')
    this.#bodyBytes += payload.byteLength
    if (this.#bodyBytes > limits.bodyBytes) {
      this.#stop({ code: 'TOO_LARGE', message: `a request body of over ${limits.bodyBytes} bytes` })
    } else {
      this.#requestBody?.push(payload)
    }
  }

  #onBodyEnd(): void {
    if (this.#hasWholeBody)
      throw new TunnelError('PROTOCOL_ERROR', 'END after END, or without a body')
    this.#hasWholeBody = true
    this.#requestBody?.end()
  }

  async #send(response: Response): Promise<void> {
    const reader = response.body?.getReader()
    this.#responseReader = reader
    if (this.#failure) {
      await reader?.cancel(this.#work.signal.reason)
      return
    }
    const { outbox, streamId } = this.#options
    outbox.head({ frame: { name: 'HEAD', streamId, payload: encodeHead(response) } })
    if (!reader) return
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      if (!(value instanceof Uint8Array)) throw new TypeError('a response body of no bytes')
      await this.#response.write(value)
    }
  }

  /** The handler or its body threw. After a cancel that is how work stops, and no failure. */
  #failWith(error: unknown): void {
    if (this.#failure) return
    this.#options.log.error('request failed', {
      requestId: this.requestId,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    this.#stop(failedInside)
  }

  /** Stops the work; END follows when it has settled. */
  #stop(failure: Failure): void {
    if (this.#failure || this.#isEnded) return
    this.#failure = failure
    const error = new TunnelError(failure.code, failure.message)
    this.#work.abort(error)
    this.#requestBody?.abort(error)
    this.#response.abort(error)
    // The reader's source may fail in its own clean-up: the answer is lost either way.
    this.#bodyStopped = this.#responseReader?.cancel(error).catch(() => {})
    this.#startSettling()
  }

  /** From here on END waits no longer than the limit. */
  #startSettling(): void {
    if (this.#isEnded) return
    this.#settleTimer ??= setTimeout(() => {
      this.#options.log.warn('request did not settle in time', { requestId: this.requestId })
      this.#end()
    }, this.#options.timing.settleMs)
  }

  async #countFinal(): Promise<void> {
    if (!this.#final) {
      // The handler is done and has counted nothing, so it used nothing.
      this.#reported ??= { promptTokens: 0, completionTokens: 0 }
      return
    }
    try {
      this.#reported = (await this.#final) ?? this.#reported
    } catch (error) {
      this.#options.log.warn('final usage is unknown', {
        requestId: this.requestId,
        error: String(error),
      })
    }
  }

  #end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    clearTimeout(this.#settleTimer)
    const usage = this.#reported
    const error = this.#failure
    const payload = encodeEnd({ ...(usage && { usage }), ...(error && { error }) })
    if (error) this.#response.endAborted(payload)
    else this.#response.end(payload)
  }
}
