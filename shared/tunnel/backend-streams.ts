/** The backend's streams of one connection: admits or refuses, finds the stream of a frame, keeps the shared credit. */
import { BackendStream } from './backend-stream.ts'
import { ReceiveCredit, SendCredit } from './connection-credit.ts'
import { encodeSync } from './control-message.ts'
import { TunnelError } from './error.ts'
import type { Counted, TunnelHandler } from './exchange.ts'
import { acceptFrame, windowFrame, type Frame } from './frame.ts'
import type { Hello, Welcome } from './hello.ts'
import { limits } from './limits.ts'
import type { Link } from './link.ts'
import { parseOpen, parseReset, type Failure } from './message.ts'

export type BackendStreamsOptions = {
  readonly link: Link
  readonly hello: Hello
  readonly welcome: Welcome
  readonly handler: TunnelHandler
  readonly beforeEnd: ((counted: Counted) => void | Promise<void>) | undefined
  /** A stream is over. */
  readonly onClosed: () => void
}

export class BackendStreams {
  readonly sendCredit: SendCredit
  readonly #receiveCredit: ReceiveCredit
  readonly #options: BackendStreamsOptions
  readonly #byId = new Map<number, BackendStream>()
  readonly #working = new Set<Promise<void>>() // also those whose stream is over
  #lastStreamId = 0
  /** Nothing above is begun. */
  #goawayLastStreamId: number = limits.maxStreamId

  constructor(options: BackendStreamsOptions) {
    const { link, hello, welcome } = options
    this.#options = options
    this.sendCredit = new SendCredit(welcome.connectionWindowBytes, (source) =>
      link.outbox.ready(source),
    )
    this.#receiveCredit = new ReceiveCredit({
      windowBytes: hello.connectionWindowBytes,
      streamWindowBytes: hello.windowBytes,
      maxStreams: welcome.maxStreams,
      grant: (delta) => link.outbox.control(windowFrame(0, delta)),
    })
  }

  get size(): number {
    return this.#byId.size
  }

  values(): Iterable<BackendStream> {
    return this.#byId.values()
  }

  /** A frame of any stream. @throws TunnelError when it has no place */
  receive(frame: Frame): void {
    if (frame.name === 'OPEN') {
      this.#onOpen(frame)
      return
    }
    if (frame.streamId > this.#lastStreamId) {
      throw new TunnelError('PROTOCOL_ERROR', `${frame.name} on a stream that was never opened`)
    }
    if (frame.name === 'RESET') {
      this.#options.link.counters.resetReceived(parseReset(frame.payload).code)
    }
    const stream = this.#byId.get(frame.streamId)
    if (stream) {
      stream.receive(frame)
    } else if (frame.name === 'DATA') {
      // A stream that is over may still get frames that were under way. Their credit goes back.
      this.#receiveCredit.received(frame.payload.byteLength)
      this.#receiveCredit.taken(frame.payload.byteLength)
    }
  }

  /** Begins nothing more. Returns the id for GOAWAY. */
  stopOpening(): number {
    this.#goawayLastStreamId = this.#lastStreamId
    return this.#lastStreamId
  }

  /** SYNC's payload. */
  encodeSync(): Uint8Array {
    return encodeSync([...this.#byId.keys()])
  }

  /** The gateway's SYNC. SPEC.md, "Leaks". */
  sync(theirs: ReadonlySet<number>): void {
    for (const id of theirs) {
      // The OPEN of a higher one is under way.
      if (id > this.#lastStreamId || this.#byId.has(id)) continue
      const message = 'the backend does not have the stream'
      this.#options.link.reset(id, { code: 'INTERNAL', message })
    }
    for (const [id, stream] of this.#byId) if (!theirs.has(id)) stream.missing()
  }

  /** Ends all that run, each with its count as far as it has come. */
  cut(failure: Failure): void {
    for (const stream of this.#byId.values()) stream.cut(failure)
  }

  connectionLost(reason: string): void {
    for (const stream of this.#byId.values()) stream.connectionLost(reason)
    this.#byId.clear()
  }

  /** Resolves when no work is left, and every count has been handed over. */
  async settled(): Promise<void> {
    await Promise.all(this.#working)
  }

  #onOpen({ streamId, payload }: Frame): void {
    if (streamId <= this.#lastStreamId) {
      throw new TunnelError('PROTOCOL_ERROR', `OPEN of stream ${streamId} after a higher one`)
    }
    this.#lastStreamId = streamId
    const open = parseOpen(payload)
    // GOAWAY has said so already, or will before the gateway asks.
    if (streamId > this.#goawayLastStreamId) return
    const { link, hello, welcome, handler, beforeEnd, onClosed } = this.#options
    if (this.size >= welcome.maxStreams) {
      link.reset(streamId, { code: 'REFUSED', message: 'the backend has no free stream' })
      return
    }
    const stream = new BackendStream(open, {
      streamId,
      link,
      sendCredit: this.sendCredit,
      receiveCredit: this.#receiveCredit,
      sendWindowBytes: welcome.windowBytes,
      receiveWindowBytes: hello.windowBytes,
      beforeEnd,
      closed: () => {
        this.#byId.delete(streamId)
        onClosed()
      },
    })
    this.#byId.set(streamId, stream)
    link.streamOpened()
    link.outbox.control(acceptFrame(streamId))
    const work = stream.run(handler)
    this.#working.add(work)
    void work.finally(() => this.#working.delete(work))
  }
}
