/**
 * What leaves a session, in order of urgency: control frames, then OPEN and HEAD, then one frame
 * from each stream that has data and credit, in turn. Frames of one moment share a message.
 */
import type { Counters } from './counters.ts'
import { closeCodes } from './error.ts'
import { encodeMessage, frameBytes, headerBytes, type Frame } from './frame.ts'
import { limits } from './limits.ts'
import type { Transport } from './transport.ts'

/** A stream that may have a frame to send. */
export interface FrameSource {
  take(): Frame | undefined
}

export type HeadEntry = {
  readonly frame: Frame
  /** Called when the frame has been given to the transport. */
  readonly sent?: () => void
}

export type OutboxOptions = {
  readonly transport: Transport
  readonly counters: Counters
  /** The peer lets control frames pile up. */
  readonly overflow: (code: number, reason: string) => void
  /** A message has left the transport. */
  readonly progress: () => void
}

const largestDataFrame = headerBytes + limits.dataBytes

export class Outbox {
  readonly #options: OutboxOptions
  readonly #control: Frame[] = []
  #controlBytes = 0
  readonly #heads = new Set<HeadEntry>()
  readonly #sources = new Set<FrameSource>() // in turn: the first is next
  #isScheduled = false
  #isClosed = false

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** Ahead of everything else. */
  control(frame: Frame): void {
    if (this.#isClosed) return
    this.#control.push(frame)
    this.#controlBytes += frameBytes(frame)
    if (this.#controlBytes > limits.controlBacklogBytes) {
      this.#options.overflow(closeCodes.STALLED, 'control frames pile up: the peer does not read')
    } else {
      this.#schedule()
    }
  }

  /** Ahead of all DATA, in order. Not bounded here: each open stream has at most one. */
  head(entry: HeadEntry): void {
    if (this.#isClosed) return
    this.#heads.add(entry)
    this.#schedule()
  }

  /** Takes a head back; false when it has been sent. */
  withdraw(entry: HeadEntry): boolean {
    return this.#heads.delete(entry)
  }

  /** The source may have something to send: it gets its turn, once. */
  ready(source: FrameSource): void {
    if (this.#isClosed) return
    this.#sources.add(source)
    this.#schedule()
  }

  /** Whether control frames wait for a transport that is full. */
  get isBehind(): boolean {
    return this.#control.length > 0 && !this.#hasRoom
  }

  get #hasRoom(): boolean {
    return this.#options.transport.bufferedBytes <= limits.transportHighWaterBytes
  }

  /** Sends what the transport takes now. */
  flush(): void {
    const { transport, counters, progress } = this.#options
    while (!this.#isClosed && this.#hasRoom) {
      const batch = this.#nextBatch()
      if (batch.length === 0) return
      const message = encodeMessage(batch)
      counters.messagesSent++
      counters.framesSent += batch.length
      counters.bytesSent += message.byteLength
      transport.send(message, () => {
        progress()
        this.flush()
      })
    }
  }

  close(): void {
    this.#isClosed = true
    this.#control.length = 0
    this.#heads.clear()
    this.#sources.clear()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    // At the end of the microtask: what is written together travels together, at no delay.
    queueMicrotask(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  #nextBatch(): Frame[] {
    const batch: Frame[] = []
    let room: number = limits.messageBytes
    const fits = (bytes: number) => bytes <= room && batch.length < limits.framesPerMessage
    const add = (frame: Frame) => {
      batch.push(frame)
      room -= frameBytes(frame)
    }

    let numControl = 0
    for (const frame of this.#control) {
      if (!fits(frameBytes(frame))) break
      add(frame)
      numControl++
      this.#controlBytes -= frameBytes(frame)
    }
    this.#control.splice(0, numControl)
    if (this.#control.length > 0) return batch

    for (const entry of this.#heads) {
      if (!fits(frameBytes(entry.frame))) return batch
      this.#heads.delete(entry)
      add(entry.frame)
      entry.sent?.()
    }

    // A source that gave a frame goes to the end of the line; this loop meets it there again.
    for (const source of this.#sources) {
      if (!fits(largestDataFrame)) break
      this.#sources.delete(source)
      const frame = source.take()
      if (!frame) continue
      add(frame)
      this.#sources.add(source)
    }
    return batch
  }
}
