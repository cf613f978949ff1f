/**
 * The requests that are running, by key: so that a revoked key's stop at once, and a shutdown
 * knows when the last has ended and is in the books.
 */

export type RunningRequest = {
  /** Aborts with an `Error` for the client as its reason. */
  readonly signal: AbortSignal
  /** A backend has it, or it was turned down: it needs no other connection any more. Idempotent. */
  placed(): void
  /** To be called once, when nothing of the request is left to do. */
  finish(): void
}

export class ActiveRequests {
  readonly #byKey = new Map<string, Set<AbortController>>()
  /** One id per revocation in this process's life, and so bounded by the table of keys. */
  readonly #revoked = new Map<string, Error>()
  readonly #all = new Tally()
  readonly #unplaced = new Tally()

  /**
   * Enters a request whose key was just found valid. If the key was revoked between that look-up
   * and this call, the request is aborted from the start.
   */
  start(keyId: string): RunningRequest {
    const controller = new AbortController()
    const ofKey = this.#byKey.get(keyId) ?? new Set()
    this.#byKey.set(keyId, ofKey.add(controller))
    const ended = this.#all.begin()
    const placed = this.#unplaced.begin()
    const revoked = this.#revoked.get(keyId)
    if (revoked) controller.abort(revoked)
    return {
      signal: controller.signal,
      placed,
      finish: () => {
        ofKey.delete(controller)
        if (ofKey.size === 0) this.#byKey.delete(keyId)
        placed()
        ended()
      },
    }
  }

  /** Enters a request before it is known whose it is. @returns to be called when its answer begins */
  arrived(): () => void {
    return this.#unplaced.begin()
  }

  /** Aborts every request of the key, and those still to be entered. */
  revokeKey(keyId: string, reason: Error): void {
    this.#revoked.set(keyId, reason)
    for (const controller of this.#byKey.get(keyId) ?? []) controller.abort(reason)
  }

  abortAll(reason: Error): void {
    for (const ofKey of this.#byKey.values()) {
      for (const controller of ofKey) controller.abort(reason)
    }
  }

  get count(): number {
    return this.#all.count
  }

  /** Resolves when no request is running. */
  idle(): Promise<void> {
    return this.#all.none()
  }

  /** Resolves when every request that has arrived has its backend, or an answer without one. */
  allPlaced(): Promise<void> {
    return this.#unplaced.none()
  }
}

/** How many of something there are. */
class Tally {
  #count = 0
  #none = Promise.withResolvers<void>()

  get count(): number {
    return this.#count
  }

  /** @returns to be called at its end; only the first call counts */
  begin(): () => void {
    this.#count += 1
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#count -= 1
      if (this.#count > 0) return
      this.#none.resolve()
      this.#none = Promise.withResolvers()
    }
  }

  none(): Promise<void> {
    return this.#count === 0 ? Promise.resolve() : this.#none.promise
  }
}
