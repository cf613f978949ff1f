/** How much an engine has to do: tokens of the requests that it was given and has not finished. */
import { expectedAnswerTokens } from '../../shared/expected-tokens.ts'
import type { GenerationEvent, GenerationRequest } from './generation.ts'

type InFlight = { readonly request: GenerationRequest; completionTokens: number }

/** Goes by what the engine is asked and tells, so that what is still under way to it counts too. */
export class TokensInFlight {
  readonly #requests = new Map<string, InFlight>() // by request id

  add(request: GenerationRequest): void {
    this.#requests.set(request.id, { request, completionTokens: 0 })
  }

  told({ id, completionTokens, end }: GenerationEvent): void {
    const inFlight = this.#requests.get(id)
    if (inFlight) inFlight.completionTokens = completionTokens
    if (end) this.#requests.delete(id)
  }

  clear(): void {
    this.#requests.clear()
  }

  /** Prompts that have no token yet, and what answers are expected to take. */
  get total(): number {
    let total = 0
    for (const { request, completionTokens } of this.#requests.values()) {
      if (completionTokens === 0) total += request.promptTokens.length
      total += expectedAnswerTokens(request.maxTokens - completionTokens)
    }
    return total
  }
}
