/** What the parts of run.ts have in common. */
import type { GgmlType } from './models/ggml-quantize.ts'

export type BenchOptions = {
  /** Of Burrow's weights: see models/converted-model.ts. */
  readonly format: string
  /** Of the GGUF file's embedding and tied head. */
  readonly embedding: GgmlType
  readonly rounds: number
  readonly threads: number
}
