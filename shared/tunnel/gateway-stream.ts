/** The gateway's end of one stream: a request going out, its answer coming in. SPEC.md, "Streams". */
import type { Usage } from '../openai/usage.ts'
import { TunnelError, type ErrorCode } from './error.ts'
import type { Exchange, OpenRequest, ResponseHead, Settlement } from './exchange.ts'
import { readWindow, windowFrame, type Frame } from './frame.ts'
import type { Timing } from './limits.ts'
import { encodeEnd, parseEnd, parseHead, parseReset, resetFrame, type End } from './message.ts'
import type { HeadEntry, Outbox } from './outbox.ts'
import { ReceiveStream } from './receive-stream.ts'
import { SendStream } from './send-stream.ts'

export type GatewayStreamOptions = {
  readonly streamId: number
  readonly outbox: Outbox
  readonly timing: Timing
  /** Credit for the request body, as HELLO said. */
  readonly sendWindowBytes: number
  /** Credit for the response body, as WELCOME said. */
  readonly receiveWindowBytes: number
  /** The stream is over: its id is done. Called once. */
  readonly closed: () => void
}

/**
 * `opening` until ACCEPT, `accepted` until HEAD, `answering` until END; `cancelling` from our RESET
 * until the backend's END, which brings the count.
 */
type State = 'opening' | 'accepted' | 'answering' | 'cancelling' | 'closed'

export class GatewayStream implements Exchange {
  readonly head: Promise<ResponseHead>
  readonly body: ReadableStream<Uint8Array>
  readonly settled: Promise<Settlement>
  readonly #options: GatewayStreamOptions
  readonly #headResult = Promise.withResolvers<ResponseHead>()
  readonly #settlement = Promise.withResolvers<Settlement>()
  readonly #open: HeadEntry
  readonly #request: SendStream
  readonly #response: ReceiveStream
  #cancelTimer: ReturnType<typeof setTimeout> | undefined
  #lastReportedUsage: Usage | null = null
  #wasSent = false
  #state: State = 'opening'

  /** `open` is OPEN's payload; `body` follows it, unless empty. */
  constructor(open: Uint8Array, body: OpenRequest['body'], options: GatewayStreamOptions) {
    const { streamId, outbox } = options
    this.#options = options
    this.head = this.#headResult.promise
    // Not everybody waits for the head: a failure is also in `settled`.
    this.head.catch(() => {})
    this.settled = this.#settlement.promise
    this.#response = new ReceiveStream({
      windowBytes: options.receiveWindowBytes,
      grant: (delta) => outbox.control(windowFrame(streamId, delta)),
      cancelled: (reason) => this.cancel(String(reason ?? 'the reader cancelled')),
    })
    this.body = this.#response.readable
    this.#request = new SendStream({
      streamId,
      windowBytes: options.sendWindowBytes,
      ready: () => outbox.ready(this.#request),
    })
    this.#open = {
      frame: { name: 'OPEN', streamId, payload: open },
      sent: () => {
        this.#wasSent = true
      },
    }
    outbox.head(this.#open)
    if (body instanceof Uint8Array && body.byteLength > 0) this.#sendBody(body)
  }

  get lastReportedUsage(): Usage | null {
    return this.#lastReportedUsage
  }

  cancel(reason: string): void {
    if (this.#state === 'closed' || this.#state === 'cancelling') return
    const { streamId, outbox, timing } = this.#options
    const wasSent = !outbox.withdraw(this.#open)
    this.#stop(new TunnelError('CANCEL', reason, { mayHaveRun: wasSent }))
    if (!wasSent) {
      this.#settle({ usage: null, outcome: 'cancelled' })
      return
    }
    this.#state = 'cancelling'
    outbox.control(resetFrame(streamId, { code: 'CANCEL', message: reason }))
    this.#cancelTimer = setTimeout(
      () => this.#settle({ usage: null, outcome: 'cancelled' }),
      timing.cancelMs,
    )
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
        return this.#onReset(frame.payload)
      case 'WINDOW':
        return this.#request.grant(readWindow(frame.payload))
      default:
        throw new TunnelError('PROTOCOL_ERROR', `${frame.name} from a backend`)
    }
  }

  /** The connection is gone, and with it the count. */
  connectionLost(reason: string): void {
    if (this.#state === 'closed') return
    if (this.#state === 'cancelling') this.#settle({ usage: null, outcome: 'cancelled' })
    else this.#fail('CONNECTION_LOST', reason, { mayHaveRun: this.#wasSent })
  }

  #sendBody(body: Uint8Array): void {
    this.#request.write(body).then(
      () => {
        if (this.#state !== 'cancelling' && this.#state !== 'closed')
          this.#request.end(encodeEnd({}))
      },
      // The stream was closed first; its end has been told where it belongs.
      () => {},
    )
  }

  #onAccept(): void {
    if (this.#state === 'cancelling') return
    this.#expect('opening', 'ACCEPT')
    this.#state = 'accepted'
  }

  #onHead(payload: Uint8Array): void {
    if (this.#state === 'cancelling') return
    this.#expect('accepted', 'HEAD')
    this.#state = 'answering'
    this.#headResult.resolve(parseHead(payload))
  }

  #onData(payload: Uint8Array): void {
    if (this.#state === 'cancelling') return
    this.#expect('answering', 'DATA')
    this.#response.push(payload)
  }

  #onEnd({ usage: counted, error }: End): void {
    const usage = counted ?? null
    if (this.#state === 'cancelling') {
      this.#settle({ usage, outcome: 'cancelled' })
    } else if (error) {
      this.#fail(error.code, error.message, { usage })
    } else {
      this.#expect('answering', 'END')
      this.#request.abort(new TunnelError('CANCEL', 'the backend has answered'))
      this.#response.end()
      this.#settle({ usage, outcome: 'completed' })
    }
  }

  #onReset(payload: Uint8Array): void {
    const { code, message } = parseReset(payload)
    if (this.#state === 'cancelling') {
      this.#settle({ usage: null, outcome: 'cancelled' })
      return
    }
    const notRun = this.#state === 'opening' && (code === 'REFUSED' || code === 'OVERLOADED')
    this.#fail(code, message, { mayHaveRun: !notRun })
  }

  #expect(state: State, frame: string): void {
    if (this.#state === state) return
    throw new TunnelError('PROTOCOL_ERROR', `${frame} on a stream that is ${this.#state}`)
  }

  #fail(
    code: ErrorCode,
    message: string,
    { usage = null, mayHaveRun = true }: { usage?: Usage | null; mayHaveRun?: boolean },
  ): void {
    const error = new TunnelError(code, message, { mayHaveRun })
    this.#headResult.reject(error)
    this.#request.abort(error)
    this.#response.end(error)
    this.#settle({ usage, outcome: 'failed', errorCode: code })
  }

  /** Nothing more is sent and nothing more is read. */
  #stop(error: TunnelError): void {
    this.#headResult.reject(error)
    this.#request.abort(error)
    this.#response.abort(error)
  }

  #settle(settlement: Omit<Settlement, 'isFinal'>): void {
    this.#state = 'closed'
    clearTimeout(this.#cancelTimer)
    this.#settlement.resolve({ ...settlement, isFinal: settlement.usage !== null })
    this.#options.closed()
  }
}
