/** One direction of a relayed connection: bytes come, are under way for a while, and go, in order. */
import type { Socket } from 'node:net'
import type { LinkShape } from './link-shape.ts'

/** The last item is the FIN. */
type Item = { readonly bytes: Buffer | 'fin'; readonly dueAtMs: number }

export type LaneOptions = {
  readonly from: Socket
  readonly to: Socket
  /** Asked for each segment: it may change. */
  readonly shape: () => LinkShape
  /** In [0, 1). */
  readonly random: () => number
  readonly passed: (numBytes: number) => void
}

export class Lane {
  readonly #options: LaneOptions
  readonly #items: Item[] = []
  #numBytes = 0
  #linkIsFreeAtMs = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #isHeld = false
  #isDark = false

  constructor(options: LaneOptions) {
    const { from, to } = options
    this.#options = options
    from.on('data', (chunk: Buffer) => this.#take(chunk))
    from.on('end', () => {
      this.#add('fin')
      this.#releaseDark()
    })
    to.on('drain', () => this.#deliver())
    to.on('close', () => this.goDark())
  }

  get isDark(): boolean {
    return this.#isDark
  }

  /** Everything that comes from now on, and all that is under way, is lost. For good. */
  goDark(): void {
    this.#isDark = true
    clearTimeout(this.#timer)
    this.#items.length = 0
    // Its sender shall believe that the bytes went somewhere.
    this.#options.from.resume()
    this.#releaseDark()
  }

  /** Nothing passes until `release`; nothing is lost. */
  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
    this.#deliver()
  }

  /** A sender that has said its last word in the dark hears nothing any more: its socket can go. */
  #releaseDark(): void {
    if (this.#isDark && this.#options.from.readableEnded) this.#options.from.destroy()
  }

  #take(chunk: Buffer): void {
    const { segmentBytes, bufferBytes } = this.#options.shape()
    for (let at = 0; at < chunk.byteLength; at += segmentBytes) {
      this.#add(chunk.subarray(at, at + segmentBytes))
    }
    if (this.#numBytes >= bufferBytes && !this.#isDark) this.#options.from.pause()
  }

  #add(bytes: Item['bytes']): void {
    if (this.#isDark) return
    const { delayMs, jitterMs, bytesPerSecond, loss, retransmitMs } = this.#options.shape()
    const { random } = this.#options
    const size = bytes === 'fin' ? 0 : bytes.byteLength
    const lostMs = loss > 0 && random() < loss ? retransmitMs : 0
    const startsAtMs = Math.max(performance.now(), this.#linkIsFreeAtMs)
    this.#linkIsFreeAtMs = startsAtMs + (size / bytesPerSecond) * 1_000 + lostMs
    const arrivesAtMs = this.#linkIsFreeAtMs + delayMs + (jitterMs > 0 ? jitterMs * random() : 0)
    const before = this.#items.at(-1)?.dueAtMs ?? 0
    this.#items.push({ bytes, dueAtMs: Math.max(arrivesAtMs, before) })
    this.#numBytes += size
    this.#deliver()
  }

  #deliver(): void {
    const { from, to, shape, passed } = this.#options
    while (!this.#isHeld && !this.#isDark && !to.writableNeedDrain) {
      const item = this.#items[0]
      if (!item) break
      const waitMs = item.dueAtMs - performance.now()
      if (waitMs > 0) {
        this.#timer ??= setTimeout(() => {
          this.#timer = undefined
          this.#deliver()
        }, waitMs)
        break
      }
      this.#items.shift()
      if (item.bytes === 'fin') {
        to.end()
      } else {
        this.#numBytes -= item.bytes.byteLength
        passed(item.bytes.byteLength)
        to.write(item.bytes)
      }
    }
    if (from.isPaused() && this.#numBytes < shape().bufferBytes) from.resume()
  }
}
