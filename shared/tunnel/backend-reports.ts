/** What a backend says of itself beside its answers: STATUS, and the counts of running streams. */
import type { Usage } from '../openai/usage.ts'
import { encodeStatus, type Status } from './control-message.ts'
import type { Link } from './link.ts'
import { encodeUsage } from './usage-message.ts'

/** A running stream, as far as its count goes. */
export interface CountingStream {
  readonly requestId: string
  /** The count, if it has changed since the last call. */
  takeCount(): Usage | null
}

export type BackendReportsOptions = {
  readonly link: Link
  readonly instanceId: string
  readonly status: (() => Status) | undefined
}

export class BackendReports {
  readonly #options: BackendReportsOptions
  #lastStatus = ''
  #statusAt = 0
  #countsAt = 0
  #isStatusDue = false

  constructor(options: BackendReportsOptions) {
    this.#options = options
  }

  /** After WELCOME. */
  begin(now: number): void {
    this.#statusAt = now
    this.#countsAt = now
    this.#sendStatus()
  }

  /** After an END: how busy this backend is has changed. Those of one moment are told once. */
  ended(): void {
    if (this.#isStatusDue || !this.#options.status) return
    this.#isStatusDue = true
    queueMicrotask(() => {
      this.#isStatusDue = false
      this.#sendStatus()
    })
  }

  tick(now: number, streams: Iterable<CountingStream>): void {
    const { link } = this.#options
    // What is not read now would only be older later.
    if (link.outbox.isBehind) return
    // A tick may come a little early.
    const slackMs = link.timing.tickMs / 2
    if (now - this.#statusAt >= link.timing.statusMs - slackMs) {
      this.#statusAt = now
      this.#sendStatus()
    }
    if (now - this.#countsAt >= link.timing.usageMs - slackMs) {
      this.#countsAt = now
      for (const stream of streams) this.#sendCount(stream)
    }
  }

  #sendStatus(): void {
    const { link, status } = this.#options
    if (!status || link.isClosed) return
    const payload = encodeStatus(status())
    const text = String.fromCharCode(...payload)
    if (text === this.#lastStatus) return
    this.#lastStatus = text
    link.outbox.control({ name: 'STATUS', streamId: 0, payload })
  }

  #sendCount(stream: CountingStream): void {
    const usage = stream.takeCount()
    if (!usage) return
    const { link, instanceId } = this.#options
    const payload = encodeUsage({
      requestId: stream.requestId,
      instanceId,
      usage,
      isFinal: false,
    })
    link.outbox.control({ name: 'USAGE', streamId: 0, payload })
  }
}
