/** The flap guards of all backends, which outlive their connections; what is over is forgotten. */
import { FlapGuard } from './flap-guard.ts'

export class FlapGuards {
  readonly #guards = new Map<string, FlapGuard>() // by backend id

  /** @returns whether the backend is flapping now */
  lost(backendId: string, nowMs: number): boolean {
    for (const [id, guard] of this.#guards) {
      if (guard.isClear(nowMs)) this.#guards.delete(id)
    }
    const guard = this.#guards.get(backendId) ?? new FlapGuard()
    this.#guards.set(backendId, guard)
    guard.lost(nowMs)
    return guard.isFlapping(nowMs)
  }

  isFlapping(backendId: string, nowMs: number): boolean {
    return this.#guards.get(backendId)?.isFlapping(nowMs) === true
  }
}
