/** The backend's end of one stream: runs the handler, sends its answer, settles the count. SPEC.md, "Streams". */
import type { Usage } from '../openai/usage.ts'
import type { CountingStream } from './backend-reports.ts'
import type { ReceiveCredit, SendCredit } from './connection-credit.ts'
import { TunnelError } from './error.ts'
import type { Counted, ServedExchange, TunnelHandler, Upgraded } from './exchange.ts'
import { readWindow, windowFrame, type Frame } from './frame.ts'
import { limits } from './limits.ts'
import { journal } from './journal-hook.ts'
import type { Link } from './link.ts'
import { encodeEnd, encodeHead, parseReset, type Failure, type Open } from './message.ts'
import { ReceiveStream } from './receive-stream.ts'
import { ResponseBody } from './response-body.ts'
import { SendStream } from './send-stream.ts'
import { servedExchange, servedRequest } from './served-request.ts'
import { ServedUsage } from './served-usage.ts'

export type BackendStreamOptions = {
  readonly streamId: number
  readonly link: Link
  readonly sendCredit: SendCredit
  readonly receiveCredit: ReceiveCredit
  /** Credit for the response body, as WELCOME said. */
  readonly sendWindowBytes: number
  /** Credit for the request body, as HELLO said. */
  readonly receiveWindowBytes: number
  /** Awaited before END leaves, for at most `settleMs`. */
  readonly beforeEnd: ((counted: Counted) => void | Promise<void>) | undefined
  /** The stream is over, or the connection is. Called once. */
  readonly closed: () => void
}

// One for all: making an error for each stream that ends well costs more than the rest of its end.
const hasEnded = new TunnelError('CANCEL', 'the exchange has ended')

const countedOf = ({ requestId, ticket, service }: Open, usage: Usage | null): Counted => ({
  requestId,
  ...(ticket !== undefined && { ticket }),
  ...(service !== undefined && { service }),
  usage,
})

const failedInside: Failure = { code: 'INTERNAL', message: 'the backend failed to answer' }

export class BackendStream implements CountingStream {
  readonly requestId: string
  readonly #open: Open
  readonly #options: BackendStreamOptions
  // Held until the end: on Node a Request that nobody holds no longer passes its signal on.
  readonly #request: Request
  readonly #exchange: ServedExchange
  readonly #work = new AbortController()
  readonly #usage = new ServedUsage()
  readonly #requestBody: ReceiveStream | undefined
  readonly #response: SendStream
  readonly #responseBody: ResponseBody
  readonly #late = Promise.withResolvers<void>()
  #bodyBytes = 0
  #hasWholeBody: boolean
  #isUpgraded = false
  #isRequestUnread = false
  #deadlineTimer: ReturnType<typeof setTimeout> | undefined
  #settleTimer: ReturnType<typeof setTimeout> | undefined
  /** Set once the answer can no longer succeed. */
  #failure: Failure | undefined
  #hasSaidEnd = false
  #hasSentEnd = false // it may wait behind data
  #isClosed = false

  constructor(open: Open, options: BackendStreamOptions) {
    const { streamId, link, receiveCredit } = options
    this.requestId = open.requestId
    this.#open = open
    this.#options = options
    this.#hasWholeBody = !open.hasBody
    if (open.hasBody) {
      this.#requestBody = new ReceiveStream({
        windowBytes: options.receiveWindowBytes,
        connection: receiveCredit,
        pace: link,
        grant: (delta) => {
          if (!this.#isClosed) link.outbox.control(windowFrame(streamId, delta))
        },
        // A handler that does not want the rest gives no credit for it.
        cancelled: () => {
          this.#isRequestUnread = true
          this.#closeHalfOpen()
        },
      })
    }
    this.#response = new SendStream({
      streamId,
      windowBytes: options.sendWindowBytes,
      connection: options.sendCredit,
      counters: link.counters,
      ready: (bytes) => link.outbox.ready(this.#response, bytes),
      ended: () => this.#onEndSent(),
    })
    this.#responseBody = new ResponseBody(this.#response)
    const body = this.#requestBody?.readable ?? null
    this.#request = servedRequest(open, body, this.#work.signal)
    this.#exchange = servedExchange(open, body, this.#usage)
    if (open.deadlineMs !== undefined) {
      this.#deadlineTimer = setTimeout(
        () => this.#stop({ code: 'DEADLINE', message: 'the time is up' }),
        open.deadlineMs,
      )
    }
  }

  /** Answers the request; resolves when all that belongs to it is done. Never rejects. */
  async run(handler: TunnelHandler): Promise<void> {
    const isSettled = this.#answer(handler).then(() => true)
    const isLate = this.#late.promise.then(() => false)
    if (!(await Promise.race([isSettled, isLate]))) {
      this.#options.link.log.warn('request did not settle in time', { requestId: this.requestId })
    }
    clearTimeout(this.#deadlineTimer)
    clearTimeout(this.#settleTimer)
    const { beforeEnd, link } = this.#options
    await journal(beforeEnd, countedOf(this.#open, this.#usage.last), link)
    this.#end()
  }

  takeCount(): Usage | null {
    return this.#hasSaidEnd ? null : this.#usage.takeChange()
  }

  /** A frame of this stream. @throws TunnelError when it has no place in the present state */
  receive(frame: Frame): void {
    switch (frame.name) {
      case 'DATA':
        return this.#onData(frame.payload)
      case 'END':
        return this.#onBodyEnd()
      case 'RESET':
        return this.#onReset(parseReset(frame.payload))
      case 'WINDOW':
        return this.#response.grant(readWindow(frame.payload))
      default:
        throw new TunnelError('PROTOCOL_ERROR', `${frame.name} from a gateway`)
    }
  }

  /** The gateway's SYNC does not name this stream: nobody waits for it. */
  missing(): void {
    this.#onReset({ code: 'CANCEL', message: 'the gateway has let go of the stream' })
  }

  /** This end has no more time for it. */
  cut(failure: Failure): void {
    this.#onReset(failure)
  }

  /** Nobody is left to answer: the work stops, and its count goes to the journal only. */
  connectionLost(reason: string): void {
    this.#isClosed = true
    this.#stop({ code: 'CONNECTION_LOST', message: reason })
  }

  #onData(payload: Uint8Array): void {
    this.#expectBody('DATA')
    // Counts against the credits in any case, and gives them back where nobody reads.
    this.#requestBody?.push(payload)
    this.#bodyBytes += payload.byteLength
    if (this.#open.service === undefined && this.#bodyBytes > limits.bodyBytes) {
      this.#stop({ code: 'TOO_LARGE', message: `a request body of over ${limits.bodyBytes} bytes` })
    }
  }

  #onBodyEnd(): void {
    this.#expectBody('END')
    this.#hasWholeBody = true
    this.#requestBody?.end()
    this.#closeHalfOpen()
  }

  #expectBody(frame: string): void {
    const isEarly = this.#open.upgrade !== undefined && !this.#isUpgraded
    if (this.#hasWholeBody || isEarly) {
      throw new TunnelError('PROTOCOL_ERROR', `${frame} after END, or without a body`)
    }
  }

  #onReset(failure: Failure): void {
    this.#stop(failure)
    // Of an upgraded stream END has left: there is no more to say.
    if (this.#hasSentEnd) this.#close()
  }

  /** The handler, its answer and its count. Never rejects. */
  async #answer(handler: TunnelHandler): Promise<void> {
    const { link } = this.#options
    try {
      await this.#send(await handler(this.#request, this.#exchange))
    } catch (error) {
      this.#failWith(error)
    }
    this.#startSettling()
    await this.#responseBody.cleanedUp()
    await this.#usage.settle().catch((error: unknown) => {
      link.log.warn('final usage is unknown', { requestId: this.requestId, error: String(error) })
    })
  }

  async #send(answer: Response | Upgraded): Promise<void> {
    if (this.#failure || this.#hasSaidEnd) {
      await answer.body?.cancel(this.#work.signal.reason)
      return
    }
    this.#sendHead(answer)
    await this.#responseBody.send(answer.body)
  }

  #sendHead(answer: Response | Upgraded): void {
    const { link, streamId } = this.#options
    const isUpgrade = this.#open.upgrade !== undefined
    this.#isUpgraded = answer.status === 101
    if (this.#isUpgraded && !isUpgrade)
      throw new TypeError('an answer of 101 that nobody asked for')
    link.outbox.head({ frame: { name: 'HEAD', streamId, payload: encodeHead(answer) } })
    // After any other answer to an upgrade, the client's bytes do not come.
    if (isUpgrade && !this.#isUpgraded) {
      this.#hasWholeBody = true
      this.#requestBody?.end()
    }
  }

  /** The handler or its body threw. After a cancel that is how work stops, and no failure. */
  #failWith(error: unknown): void {
    if (this.#failure) return
    this.#options.link.log.error('request failed', {
      requestId: this.requestId,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    this.#stop(failedInside)
  }

  /** Stops the work; END follows when it has settled. */
  #stop(failure: Failure): void {
    if (this.#failure) return
    this.#failure = failure
    const error = new TunnelError(failure.code, failure.message)
    this.#work.abort(error)
    this.#requestBody?.abort(error)
    if (this.#hasSentEnd) return
    this.#response.abort(error)
    this.#responseBody.stop(error)
    // END waited behind what is now dropped.
    if (this.#hasSaidEnd) this.#end()
    else this.#startSettling()
  }

  /** From here on END waits no longer than the limit. */
  #startSettling(): void {
    this.#settleTimer ??= setTimeout(this.#late.resolve, this.#options.link.timing.settleMs)
  }

  #end(): void {
    this.#hasSaidEnd = true
    if (this.#isClosed) return
    const usage = this.#usage.last
    const error = this.#failure
    const payload = encodeEnd({ ...(usage && { usage }), ...(error && { error }) })
    if (error) this.#response.endAborted(payload)
    else this.#response.end(payload)
  }

  /** END has been handed over. An upgraded stream stays until the other side has ended too. */
  #onEndSent(): void {
    this.#hasSentEnd = true
    if (this.#isUpgraded && !this.#failure) this.#closeHalfOpen()
    else this.#close()
  }

  #closeHalfOpen(): void {
    if (!this.#isUpgraded || !this.#hasSentEnd) return
    if (this.#hasWholeBody) {
      this.#close()
    } else if (this.#isRequestUnread) {
      const { link, streamId } = this.#options
      link.reset(streamId, { code: 'NO_ERROR', message: 'the service has closed' })
      this.#close()
    }
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // What the handler has not read of the request, it will not.
    this.#requestBody?.abort(hasEnded)
    this.#options.closed()
  }
}
