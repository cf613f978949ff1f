/** The gateway's streams of one connection: gives ids, finds the stream of a frame, keeps the shared credit. */
import { ReceiveCredit, SendCredit } from './connection-credit.ts'
import { encodeSync } from './control-message.ts'
import { closeCodes, TunnelError } from './error.ts'
import type { OpenRequest } from './exchange.ts'
import { windowFrame, type Frame } from './frame.ts'
import { GatewayStream } from './gateway-stream.ts'
import { limits } from './limits.ts'
import type { Link } from './link.ts'
import { encodeOpen, parseReset } from './message.ts'
import { ResetGuard } from './reset-guard.ts'
import type { SessionSnapshot } from './session-snapshot.ts'
import type { UsageReport } from './usage-message.ts'

export type GatewayStreamsOptions = {
  readonly link: Link
  /** What both ends agreed on, and what is left of it. */
  readonly agreed: SessionSnapshot
  /** The last stream is over. */
  readonly onIdle: () => void
  /** The connection's credit has changed. */
  readonly onCredit: () => void
}

export class GatewayStreams {
  readonly sendCredit: SendCredit
  readonly receiveCredit: ReceiveCredit
  readonly #options: GatewayStreamsOptions
  readonly #resets: ResetGuard
  readonly #byId = new Map<number, GatewayStream>()
  readonly #byRequest = new Map<string, GatewayStream>()
  #lastStreamId: number
  #lastAnsweredId = 0 // the backend has read all OPENs up to it
  #numUndrained = 0 // streams that are over, with bytes that wait for their reader

  constructor(options: GatewayStreamsOptions) {
    const { link, agreed, onCredit } = options
    this.#options = options
    this.#lastStreamId = agreed.lastStreamId
    this.#resets = new ResetGuard(link.timing.resetWindowMs, link.now)
    this.sendCredit = new SendCredit(agreed.sendCreditBytes, (source) => link.outbox.ready(source))
    this.receiveCredit = new ReceiveCredit({
      windowBytes: agreed.connectionWindowBytes,
      streamWindowBytes: agreed.windowBytes,
      maxStreams: agreed.maxStreams,
      leftBytes: agreed.receiveCreditBytes,
      grant: (delta) => {
        link.outbox.control(windowFrame(0, delta))
        onCredit()
      },
    })
  }

  get size(): number {
    return this.#byId.size
  }

  get lastStreamId(): number {
    return this.#lastStreamId
  }

  get hasRoom(): boolean {
    return this.size + this.#numUndrained < this.#options.agreed.maxStreams && this.#hasIds
  }

  /** @throws TunnelError when the request cannot be sent */
  open(request: OpenRequest): GatewayStream {
    if (!this.hasRoom) throw new TunnelError('OVERLOADED', 'the backend has no free stream')
    const { link, agreed } = this.#options
    const open = encodeRequest(request)
    const streamId = this.#lastStreamId + 2
    let isDrained = false
    const stream = new GatewayStream(open, request, {
      streamId,
      link,
      sendCredit: this.sendCredit,
      receiveCredit: this.receiveCredit,
      sendWindowBytes: agreed.hello.windowBytes,
      receiveWindowBytes: agreed.windowBytes,
      closed: () => {
        if (!isDrained) this.#numUndrained++
        this.#onClosed(streamId, request.requestId)
      },
      drained: () => {
        isDrained = true
        if (!this.#byId.has(streamId)) this.#numUndrained--
      },
    })
    this.#lastStreamId = streamId
    this.#byId.set(streamId, stream)
    this.#byRequest.set(request.requestId, stream)
    link.streamOpened()
    return stream
  }

  /** A frame of any stream. @throws TunnelError when it has no place */
  receive(frame: Frame): void {
    if (frame.streamId > this.#lastStreamId) {
      throw new TunnelError('PROTOCOL_ERROR', `${frame.name} on a stream that was never opened`)
    }
    const stream = this.#byId.get(frame.streamId)
    this.#lastAnsweredId = Math.max(this.#lastAnsweredId, frame.streamId)
    if (frame.name === 'ACCEPT') this.#resets.accepted()
    if (frame.name === 'RESET') this.#countReset(frame.payload, stream?.wasAccepted ?? false)
    if (stream) {
      stream.receive(frame)
    } else if (frame.name === 'DATA') {
      // A stream that is over may still get frames that were under way. Their credit goes back.
      this.receiveCredit.received(frame.payload.byteLength)
      this.receiveCredit.taken(frame.payload.byteLength)
    }
  }

  /** USAGE of a running stream. */
  reported({ requestId, usage }: UsageReport): void {
    this.#byRequest.get(requestId)?.reported(usage)
  }

  /** The backend begins nothing above `lastStreamId`; what has not left does not leave. */
  stopOpening(lastStreamId: number, reason: string): void {
    for (const stream of this.#byId.values()) stream.goaway(lastStreamId, reason)
  }

  /** SYNC's payload. */
  encodeSync(): Uint8Array {
    return encodeSync([...this.#byId.keys()])
  }

  /** The backend's SYNC. SPEC.md, "Leaks". @throws TunnelError for a stream that never was */
  sync(theirs: ReadonlySet<number>): void {
    for (const id of theirs) {
      if (id > this.#lastStreamId) {
        throw new TunnelError('PROTOCOL_ERROR', `SYNC names stream ${id}, which was never opened`)
      }
      if (this.#byId.has(id)) continue
      const message = 'the gateway has let go of the stream'
      this.#options.link.reset(id, { code: 'CANCEL', message })
    }
    for (const [id, stream] of this.#byId) {
      // The OPEN of one that is above all answers may be under way.
      if (id <= this.#lastAnsweredId && !theirs.has(id)) stream.missing()
    }
  }

  connectionLost(reason: string): void {
    for (const stream of this.#byId.values()) stream.connectionLost(reason)
  }

  get #hasIds(): boolean {
    return this.#lastStreamId + 2 <= limits.maxStreamId
  }

  /** A backend that refuses what it cannot take does its duty: only what it accepted counts. */
  #countReset(payload: Uint8Array, wasAccepted: boolean): void {
    const { link } = this.#options
    link.counters.resetReceived(parseReset(payload).code)
    if (wasAccepted && this.#resets.reset()) {
      link.close(closeCodes.ENHANCE_CALM, 'too many resets')
    }
  }

  #onClosed(streamId: number, requestId: string): void {
    // A request that is sent again has its old id, on a new stream.
    if (this.#byRequest.get(requestId) === this.#byId.get(streamId)) {
      this.#byRequest.delete(requestId)
    }
    this.#byId.delete(streamId)
    if (this.size > 0) return
    this.#options.onIdle()
    if (!this.#hasIds) {
      this.#options.link.close(closeCodes.GOING_AWAY, 'the stream ids are used up')
    }
  }
}

/** @throws TunnelError when the backend would have to refuse the request */
const encodeRequest = ({ body, ...head }: OpenRequest): Uint8Array => {
  const isStream = body instanceof ReadableStream
  const bodyBytes = isStream ? 0 : (body?.byteLength ?? 0)
  if (bodyBytes > limits.bodyBytes && head.service === undefined) {
    throw new TunnelError('TOO_LARGE', `the request's body is over ${limits.bodyBytes} bytes`)
  }
  const hasBody = isStream || bodyBytes > 0 || head.upgrade !== undefined
  return encodeOpen({ ...head, hasBody })
}
