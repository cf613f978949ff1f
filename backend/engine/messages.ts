/** What the HTTP thread and the engine thread tell each other. */
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import type { CacheDtype } from '../graph/cache-dtype.ts'
import type { GenerationEvent, GenerationRequest, ThreadStats } from './generation.ts'

export type EngineThreadData = {
  /** Where the tokenizer is. */
  readonly modelFolder: string
  /** Where the converted graph is. */
  readonly graphFolder: string
  /** Of the graph (graph/manifest.ts), where another one must not be loaded in its place. */
  readonly fingerprint?: string
  /** Slots of the KV cache. */
  readonly numSlots: number
  readonly maxNumSeqs: number
  readonly maxModelLen: number
  readonly maxNumBatchedTokens: number
  readonly vocabSize: number
  readonly endOfSequenceTokens: readonly number[]
  readonly intraOpNumThreads: number
  /** Of the KV cache; default: float32. */
  readonly cacheDtype?: CacheDtype | undefined
  /** What the graph was converted with. */
  readonly ropeOverride?: RopeOverride | undefined
  /** Where the thread and its ranks note what they hold of ONNX Runtime. */
  readonly handles: SharedArrayBuffer
  /** Where the thread marks its steps (step-watch.ts). */
  readonly stepMarks: SharedArrayBuffer
}

export type ToEngine =
  | { readonly type: 'add'; readonly request: GenerationRequest }
  | { readonly type: 'abort'; readonly id: string }
  | { readonly type: 'close' }

export type FromEngine =
  | { readonly type: 'ready' }
  | {
      readonly type: 'events'
      readonly events: readonly GenerationEvent[]
      readonly stats: ThreadStats
    }
