/** An engine whose events a test pushes by hand. */
import type { Engine } from '../../backend/engine/engine.ts'
import { noStats, type GenerationRequest } from '../../backend/engine/generation.ts'
import { GenerationStream } from '../../backend/engine/generation-stream.ts'

export class ScriptedEngine implements Engine {
  readonly state = 'ok'
  readonly restarts = 0
  readonly requests: GenerationRequest[] = []
  readonly streams: GenerationStream[] = []
  readonly aborted: string[] = []
  readonly #onAdd: (stream: GenerationStream, request: GenerationRequest) => void

  /** @param onAdd pushes events, at once or later */
  constructor(onAdd: (stream: GenerationStream, request: GenerationRequest) => void) {
    this.#onAdd = onAdd
  }

  add(request: GenerationRequest): GenerationStream {
    const stream = new GenerationStream(() => {
      this.aborted.push(request.id)
      stream.push({ id: request.id, text: '', completionTokens: 2, end: 'abort' })
    })
    this.requests.push(request)
    this.streams.push(stream)
    this.#onAdd(stream, request)
    return stream
  }

  addAll(requests: readonly GenerationRequest[]): readonly GenerationStream[] {
    return requests.map((request) => this.add(request))
  }

  stats() {
    return noStats
  }

  async close(): Promise<void> {}
}
