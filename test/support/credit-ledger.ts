/** Watches a tunnel's messages from outside, and keeps the accounts of both windows of both directions. */
import { decodeMessage, readWindow } from '../../shared/tunnel/frame.ts'
import type { MemoryTransport } from './tunnel-memory.ts'

export class Account {
  readonly #connectionBytes: number
  readonly #streamBytes: number
  readonly #streams = new Map<number, number>()
  connection: number
  /** The lowest that any credit ever was. */
  lowest = Infinity

  constructor(connectionBytes: number, streamBytes: number) {
    this.#connectionBytes = connectionBytes
    this.#streamBytes = streamBytes
    this.connection = connectionBytes
  }

  /** Credit that was used and has not come back. */
  get missing(): number {
    return this.#connectionBytes - this.connection
  }

  use(streamId: number, bytes: number): void {
    const stream = (this.#streams.get(streamId) ?? this.#streamBytes) - bytes
    this.#streams.set(streamId, stream)
    this.connection -= bytes
    this.lowest = Math.min(this.lowest, stream, this.connection)
  }

  grant(streamId: number, bytes: number): void {
    if (streamId === 0) this.connection += bytes
    else this.#streams.set(streamId, (this.#streams.get(streamId) ?? this.#streamBytes) + bytes)
  }
}

/** `own` is the account that the transport's DATA uses, `other` the one that its WINDOWs add to. */
export const keepAccounts = (transport: MemoryTransport, own: Account, other: Account): void => {
  transport.onSend = (message) => {
    for (const { name, streamId, payload } of decodeMessage(message)) {
      if (name === 'DATA') own.use(streamId, payload.byteLength)
    }
  }
  transport.onArrive = (message) => {
    for (const { name, streamId, payload } of decodeMessage(message)) {
      if (name === 'WINDOW') other.grant(streamId, readWindow(payload))
    }
  }
}
