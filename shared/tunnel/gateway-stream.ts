/** The gateway's end of one stream: a request going out, its answer coming in. SPEC.md, "Streams". */
import type { Usage } from '../openai/usage.ts'
import type { ReceiveCredit, SendCredit } from './connection-credit.ts'
import { TunnelError, type ErrorCode } from './error.ts'
import type { Exchange, OpenRequest, ResponseHead, Settlement } from './exchange.ts'
import { readWindow, windowFrame, type Frame } from './frame.ts'
import { limits } from './limits.ts'
import type { Link } from './link.ts'
import { parseEnd, parseHead, parseReset, type End, type Failure } from './message.ts'
import type { HeadEntry } from './outbox.ts'
import { ReceiveStream } from './receive-stream.ts'
import { RequestBody } from './request-body.ts'
import { SendStream } from './send-stream.ts'

export type GatewayStreamOptions = {
  readonly streamId: number
  readonly link: Link
  readonly sendCredit: SendCredit
  readonly receiveCredit: ReceiveCredit
  /** Credit for the request body, as HELLO said. */
  readonly sendWindowBytes: number
  /** Credit for the response body, as WELCOME said. */
  readonly receiveWindowBytes: number
  /** The stream is over: its id is done. Called once. */
  readonly closed: () => void
  /** Nothing of the answer is held any more. Called once, before or after `closed`. */
  readonly drained: () => void
}

/**
 * `opening` until ACCEPT, `accepted` until HEAD, `answering` until END; `cancelling` from our RESET
 * until the backend's END, which brings the count.
 */
type State = 'opening' | 'accepted' | 'answering' | 'cancelling' | 'closed'

type Ending = Pick<Settlement, 'outcome' | 'errorCode'>

export class GatewayStream implements Exchange {
  readonly head: Promise<ResponseHead>
  readonly body: ReadableStream<Uint8Array>
  readonly settled: Promise<Settlement>
  readonly #options: GatewayStreamOptions
  readonly #headResult = Promise.withResolvers<ResponseHead>()
  readonly #settlement = Promise.withResolvers<Settlement>()
  readonly #isUpgrade: boolean
  readonly #open: HeadEntry
  readonly #request: SendStream
  readonly #requestBody: RequestBody
  readonly #response: ReceiveStream
  #deadlineTimer: ReturnType<typeof setTimeout> | undefined
  #cancelTimer: ReturnType<typeof setTimeout> | undefined
  #lastReported: Usage | null = null
  #sentAt: number | undefined // when OPEN was handed to the transport
  #wasAccepted = false
  /** How a stream settles that we have reset. */
  #ending: Ending = { outcome: 'cancelled' }
  /** An upgraded stream whose backend has said END, and we have not. */
  #responseEnd: { readonly usage: Usage | null } | undefined
  #state: State = 'opening'

  /** `open` is OPEN's payload. */
  constructor(open: Uint8Array, request: OpenRequest, options: GatewayStreamOptions) {
    const { streamId, link, receiveCredit } = options
    this.#options = options
    this.#isUpgrade = request.upgrade !== undefined
    this.head = this.#headResult.promise
    // Not everybody waits for the head: a failure is also in `settled`.
    this.head.catch(() => {})
    this.settled = this.#settlement.promise
    this.#response = new ReceiveStream({
      windowBytes: options.receiveWindowBytes,
      connection: receiveCredit,
      pace: link,
      grant: (delta) => link.outbox.control(windowFrame(streamId, delta)),
      cancelled: (reason) => this.cancel(String(reason ?? 'the reader cancelled')),
      drained: options.drained,
    })
    this.body = this.#response.readable
    this.#request = new SendStream({
      streamId,
      windowBytes: options.sendWindowBytes,
      connection: options.sendCredit,
      counters: link.counters,
      ready: () => link.outbox.ready(this.#request),
      ended: () => this.#onRequestEnded(),
    })
    this.#requestBody = new RequestBody(request.body, {
      stream: this.#request,
      maxBytes: request.service === undefined ? limits.bodyBytes : Infinity,
      failed: (error) => this.#onBodyFailed(error),
    })
    this.#open = {
      frame: { name: 'OPEN', streamId, payload: open },
      sent: () => {
        this.#sentAt = link.now()
      },
    }
    link.outbox.head(this.#open)
    // The backend keeps the time; this is for one that does not.
    if (request.deadlineMs !== undefined) {
      const patienceMs = request.deadlineMs + link.timing.cancelMs
      this.#deadlineTimer = setTimeout(() => this.#onDeadline(), patienceMs)
    }
    if (!this.#isUpgrade && request.body) this.#requestBody.start()
  }

  get lastReportedUsage(): Usage | null {
    return this.#lastReported
  }

  get wasAccepted(): boolean {
    return this.#wasAccepted
  }

  cancel(reason: string): void {
    if (this.#state === 'closed') {
      // What nobody will read must not hold the connection's credit.
      this.#response.abort(new TunnelError('CANCEL', reason))
      return
    }
    this.#abandon({ code: 'CANCEL', message: reason }, { outcome: 'cancelled' })
  }

  /** A frame of this stream. @throws TunnelError when it has no place in the present state */
  receive(frame: Frame): void {
    if (this.#state === 'closed') return
    switch (frame.name) {
      case 'ACCEPT':
        return this.#onAccept()
      case 'HEAD':
        return this.#onHead(frame.payload)
      case 'DATA':
        return this.#onData(frame.payload)
      case 'END':
        return this.#onEnd(parseEnd(frame.payload))
      case 'RESET':
        return this.#onReset(parseReset(frame.payload))
      case 'WINDOW':
        return this.#request.grant(readWindow(frame.payload))
      default:
        throw new TunnelError('PROTOCOL_ERROR', `${frame.name} from a backend`)
    }
  }

  /** USAGE: the count of the running stream. */
  reported(usage: Usage): void {
    this.#lastReported = usage
  }

  /** The backend begins nothing above `lastStreamId`. @throws TunnelError when it has already */
  goaway(lastStreamId: number, message: string): void {
    const { streamId, link } = this.#options
    if (link.outbox.withdraw(this.#open)) {
      this.#fail({ code: 'DRAINING', message }, { mayHaveRun: false })
    } else if (streamId > lastStreamId) {
      if (this.#wasAccepted) {
        throw new TunnelError('PROTOCOL_ERROR', `GOAWAY below stream ${streamId}, which was begun`)
      }
      if (this.#state === 'cancelling') this.#settle(null, this.#ending)
      else this.#fail({ code: 'DRAINING', message }, { mayHaveRun: false })
    }
  }

  /** The backend's SYNC does not name this stream, of which it has read OPEN. */
  missing(): void {
    if (this.#state === 'cancelling') this.#settle(null, this.#ending)
    else this.#fail({ code: 'INTERNAL', message: 'the backend has lost the stream' })
  }

  /** The connection is gone, and with it the count. */
  connectionLost(reason: string): void {
    if (this.#state === 'closed') return
    if (this.#state === 'cancelling') {
      this.#settle(null, this.#ending)
    } else {
      const mayHaveRun = this.#sentAt !== undefined
      this.#fail({ code: 'CONNECTION_LOST', message: reason }, { mayHaveRun })
    }
  }

  #onBodyFailed(error: unknown): void {
    if (error instanceof TunnelError && error.code === 'TOO_LARGE') {
      this.#abandon(error, { outcome: 'failed', errorCode: error.code })
    } else {
      this.cancel("the request's body failed")
    }
  }

  #onDeadline(): void {
    const failure: Failure = { code: 'DEADLINE', message: 'the time is up' }
    this.#abandon(failure, { outcome: 'failed', errorCode: 'DEADLINE' })
  }

  /** Stops the work; the stream settles with the count that END brings. */
  #abandon(failure: Failure, ending: Ending): void {
    if (this.#state === 'closed' || this.#state === 'cancelling') return
    const { streamId, link } = this.#options
    const wasSent = !link.outbox.withdraw(this.#open)
    const error = new TunnelError(failure.code, failure.message, { mayHaveRun: wasSent })
    this.#headResult.reject(error)
    this.#closeRequest(error)
    this.#response.abort(error)
    if (wasSent) link.reset(streamId, failure)
    if (!wasSent || this.#responseEnd) {
      // No END will follow.
      this.#settle(this.#responseEnd?.usage ?? null, ending)
      return
    }
    this.#state = 'cancelling'
    this.#ending = ending
    this.#cancelTimer = setTimeout(() => this.#settle(null, ending), link.timing.cancelMs)
  }

  #onAccept(): void {
    if (this.#wasAccepted) throw this.#misplaced('ACCEPT')
    this.#wasAccepted = true
    const { link } = this.#options
    if (this.#sentAt !== undefined) link.sampleRoundTrip(link.now() - this.#sentAt)
    if (this.#state === 'opening') this.#state = 'accepted'
  }

  #onHead(payload: Uint8Array): void {
    if (this.#state === 'cancelling') return
    this.#expect('accepted', 'HEAD')
    const head = parseHead(payload)
    if (head.status === 101) {
      if (!this.#isUpgrade) throw new TunnelError('PROTOCOL_ERROR', 'HEAD says 101 unasked')
      this.#requestBody.start()
    } else if (this.#isUpgrade) {
      this.#closeRequest(new TunnelError('CANCEL', 'the backend did not upgrade'))
    }
    this.#state = 'answering'
    this.#headResult.resolve(head)
  }

  #onData(payload: Uint8Array): void {
    // Dropped where nobody reads: its credit still counts.
    if (this.#state !== 'cancelling') this.#expectBody('DATA')
    this.#response.push(payload)
  }

  #onEnd({ usage: counted, error }: End): void {
    const usage = counted ?? null
    if (this.#state === 'cancelling') {
      this.#settle(usage, this.#ending)
    } else if (error) {
      this.#fail(error, { usage })
    } else {
      this.#expectBody('END')
      this.#response.end()
      if (this.#isUpgrade && !this.#request.isClosed) {
        this.#responseEnd = { usage }
      } else {
        this.#closeRequest(new TunnelError('CANCEL', 'the backend has answered'))
        this.#settle(usage, { outcome: 'completed' })
      }
    }
  }

  #onReset(failure: Failure): void {
    const { code } = failure
    if (this.#state === 'cancelling') {
      this.#settle(null, this.#ending)
    } else if (this.#responseEnd && code === 'NO_ERROR') {
      // The backend has said all it had to say, and does not listen any more.
      this.#closeRequest(new TunnelError('CANCEL', 'the backend has closed the stream'))
      this.#settle(this.#responseEnd.usage, { outcome: 'completed' })
    } else {
      const notRun = !this.#wasAccepted && isRefusal(code)
      this.#fail(failure, { mayHaveRun: !notRun })
    }
  }

  #onRequestEnded(): void {
    if (this.#responseEnd) this.#settle(this.#responseEnd.usage, { outcome: 'completed' })
  }

  #expect(state: State, frame: string): void {
    if (this.#state !== state) throw this.#misplaced(frame)
  }

  #expectBody(frame: string): void {
    this.#expect('answering', frame)
    if (this.#responseEnd) throw this.#misplaced(frame)
  }

  #misplaced(frame: string): TunnelError {
    return new TunnelError('PROTOCOL_ERROR', `${frame} on a stream that is ${this.#state}`)
  }

  #fail(
    { code, message }: Failure,
    { usage = null, mayHaveRun = true }: { usage?: Usage | null; mayHaveRun?: boolean } = {},
  ): void {
    const error = new TunnelError(code, message, { mayHaveRun })
    this.#headResult.reject(error)
    this.#closeRequest(error)
    this.#response.end(error)
    this.#settle(usage ?? this.#responseEnd?.usage ?? null, { outcome: 'failed', errorCode: code })
  }

  #closeRequest(error: TunnelError): void {
    this.#request.abort(error)
    this.#requestBody.stop(error)
  }

  /** `final` is the backend's last word; without it the last count of the running stream stands. */
  #settle(final: Usage | null, ending: Ending): void {
    this.#state = 'closed'
    clearTimeout(this.#cancelTimer)
    clearTimeout(this.#deadlineTimer)
    this.#settlement.resolve({
      usage: final ?? this.#lastReported,
      isFinal: final !== null,
      ...ending,
    })
    this.#options.closed()
  }
}

/** Before ACCEPT these say that nothing was begun. */
const isRefusal = (code: ErrorCode): boolean =>
  code === 'REFUSED' || code === 'OVERLOADED' || code === 'DRAINING'
