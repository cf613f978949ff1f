/** How busy a backend is: by its last STATUS, and by what was sent to it since. */
import type { Status } from '../../shared/tunnel/control-message.ts'

/** A request in line delays the next by more than its own tokens: by those of whoever must end first. */
const waitingTokens = 256

/** From OPEN's arrival until the engine counts the request: the body must come in and be tokenised. */
const admissionMs = 100

type Sent = { readonly tokens: number; readonly atMs: number }

export class BackendLoad {
  #status: Status | undefined
  readonly #sent = new Set<Sent>() // what no STATUS has counted yet
  #sentTokens = 0

  /** The backend's own count; undefined before the first. */
  get status(): Status | undefined {
    return this.#status
  }

  /** Tokens in flight, over the backend's weight. Infinite for one that asks for no requests. */
  get tokens(): number {
    const { tokensInFlight = 0, waiting = 0, weight = 1 } = this.#status ?? {}
    if (weight === 0) return Infinity
    return (tokensInFlight + waiting * waitingTokens + this.#sentTokens) / weight
  }

  /**
   * A request was sent that will take about `tokens`. A burst is so spread before any STATUS tells of it.
   * @returns to be called when the request has ended
   */
  sent(tokens: number, nowMs: number): () => void {
    if (tokens === 0) return () => {}
    const entry: Sent = { tokens, atMs: nowMs }
    this.#sent.add(entry)
    this.#sentTokens += tokens
    return () => this.#forget(entry)
  }

  /**
   * A STATUS has come. It counts what was sent before it was written, and not the rest.
   * @param roundTripMs of the connection, as far as it is known
   */
  reported(status: Status, nowMs: number, roundTripMs = 0): void {
    this.#status = status
    for (const entry of this.#sent) {
      // In the order of sending: all that follow are younger.
      if (nowMs - entry.atMs < roundTripMs + admissionMs) break
      this.#forget(entry)
    }
  }

  #forget(entry: Sent): void {
    if (this.#sent.delete(entry)) this.#sentTokens -= entry.tokens
  }
}
