/**
 * The requests that are running, by key: so that a revoked key's stop at once, and a shutdown
 * knows when the last has ended and is in the books.
 */

export type RunningRequest = {
  /** Aborts with an `Error` for the client as its reason. */
  readonly signal: AbortSignal
  /** To be called once, when nothing of the request is left to do. */
  finish(): void
}

export class ActiveRequests {
  readonly #byKey = new Map<string, Set<AbortController>>()
  /** One id per revocation in this process's life, and so bounded by the table of keys. */
  readonly #revoked = new Map<string, Error>()
  #count = 0
  #idle = Promise.withResolvers<void>()

  /**
   * Enters a request whose key was just found valid. If the key was revoked between that look-up
   * and this call, the request is aborted from the start.
   */
  start(keyId: string): RunningRequest {
    const controller = new AbortController()
    const ofKey = this.#byKey.get(keyId) ?? new Set()
    this.#byKey.set(keyId, ofKey.add(controller))
    this.#count += 1
    const revoked = this.#revoked.get(keyId)
    if (revoked) controller.abort(revoked)
    return {
      signal: controller.signal,
      finish: () => {
        if (!ofKey.delete(controller)) return
        if (ofKey.size === 0) this.#byKey.delete(keyId)
        this.#count -= 1
        if (this.#count === 0) {
          this.#idle.resolve()
          this.#idle = Promise.withResolvers()
        }
      },
    }
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
    return this.#count
  }

  /** Resolves when no request is running. */
  idle(): Promise<void> {
    return this.#count === 0 ? Promise.resolve() : this.#idle.promise
  }
}
