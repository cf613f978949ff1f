// One way of running the same ONNX graph, in a process of its own: decode steps over a cache of fixed capacity.
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { cacheNames } from '../../../backend/graph/attention.ts'
import { Decoder } from '../../../backend/graph/decoder.ts'
import { rankFiles, readManifest } from '../../../backend/graph/manifest.ts'
import { planShards } from '../../../backend/graph/shard-plan.ts'
import { childSettings, report } from './child.ts'
import { median } from './statistics.ts'

export type ApiForm =
  /** Burrow's decoder: bound once, the cache in place. */
  | 'c-api'
  /** `run(feeds, fetches)`, each present tensor over the memory of its past. */
  | 'js-in-place'
  /** `run(feeds)`: presents are new tensors, which are the next step's pasts. */
  | 'js-new-tensors'

export type ApiSettings = {
  readonly form: ApiForm
  readonly graphFolder: string
  readonly threads: number
  readonly shapes: readonly ApiShape[]
}

export type ApiShape = { readonly rows: number; readonly capacity: number }

export type ApiResult = {
  readonly results: readonly {
    readonly stepMs: number
    /** The last step's logits of the first row: all forms compute the same. */
    readonly logits: readonly number[]
  }[]
}

const { form, graphFolder, threads, shapes } = childSettings<ApiSettings>()
const past = 128
const [warmUps, steps] = [3, 9]

const token = (row: number, position: number): number =>
  300 + ((row * 7919 + position * 104_729) % 48_000)
const rowIndices = (rows: number): number[] => Array.from({ length: rows }, (_, row) => row)

/** One decode step of all rows at a position. @returns logits [rows, vocabulary] */
type Step = (position: number) => Promise<Float32Array>

const decoderStep = ({ rows, capacity }: ApiShape): { step: Step; close: () => void } => {
  const sizes = { slots: rows, capacity, intraOpNumThreads: threads }
  const decoder = new Decoder(graphFolder, sizes)
  for (const row of rowIndices(rows)) {
    decoder.prefill(
      row,
      0,
      Array.from({ length: past }, (_, position) => token(row, position)),
    )
  }
  const step: Step = async (position) =>
    decoder.decode(
      0,
      rowIndices(rows).map((row) => token(row, position)),
      rowIndices(rows).map(() => position),
    )
  return { step, close: () => decoder.close() }
}

const sessionStep = async (
  { rows, capacity }: ApiShape,
  isInPlace: boolean,
): Promise<{ step: Step; close: () => Promise<void> }> => {
  const manifest = readManifest(graphFolder)
  const { numLayers, numKvHeads, headDim, vocabSize } = manifest
  const plans = planShards(manifest, manifest)
  const [graph = ''] = plans.flatMap((plan) => rankFiles(plans, plan).models)
  const session = await InferenceSession.create(join(graphFolder, graph), {
    intraOpNumThreads: threads,
    logSeverityLevel: 4,
  })
  const pasts: Record<string, Tensor> = {}
  const presents: Record<string, Tensor> = {}
  const presentOf: Record<string, string> = {}
  for (let layer = 0; layer < numLayers; layer++) {
    const names = cacheNames(layer)
    for (const part of ['key', 'value'] as const) {
      const data = new Float32Array(rows * numKvHeads * capacity * headDim)
      const tensor = new Tensor('float32', data, [rows, numKvHeads, capacity, headDim])
      pasts[names.past[part]] = tensor
      presents[names.present[part]] = tensor
      presentOf[names.past[part]] = names.present[part]
    }
  }
  const logits = new Tensor('float32', new Float32Array(rows * vocabSize), [rows, vocabSize])
  const run = async (from: number, numTokens: number): Promise<Float32Array> => {
    const tokens = rowIndices(rows).flatMap((row) =>
      Array.from({ length: numTokens }, (_, i) => BigInt(token(row, from + i))),
    )
    const total = from + numTokens
    const feeds = {
      ...pasts,
      input_ids: new Tensor('int64', BigInt64Array.from(tokens), [rows, numTokens]),
      seqlens_k: new Tensor('int32', new Int32Array(rows).fill(total - 1), [rows]),
      total_sequence_length: new Tensor('int32', Int32Array.of(total), [1]),
      logits_rows: new Tensor(
        'int64',
        BigInt64Array.from(rowIndices(rows), (row) => BigInt((row + 1) * numTokens - 1)),
        [rows],
      ),
    }
    if (isInPlace) {
      await session.run(feeds, { logits, ...presents })
      return logits.data as Float32Array
    }
    const results = await session.run(feeds)
    for (const [name, present] of Object.entries(presentOf)) {
      const tensor = results[present]
      if (tensor !== undefined) pasts[name] = tensor as Tensor
    }
    return results.logits?.data as Float32Array
  }
  // All rows at once, which an empty past allows.
  await run(0, past)
  return { step: (position) => run(position, 1), close: () => session.release() }
}

const results = []
for (const shape of shapes) {
  const { step, close } =
    form === 'c-api' ? decoderStep(shape) : await sessionStep(shape, form === 'js-in-place')
  const times: number[] = []
  let logits: Float32Array = new Float32Array(0)
  for (let i = 0; i < warmUps + steps; i++) {
    const startedAt = performance.now()
    logits = await step(past + i)
    if (i >= warmUps) times.push(performance.now() - startedAt)
  }
  const { vocabSize } = readManifest(graphFolder)
  results.push({ stepMs: median(times), logits: [...logits.subarray(0, vocabSize)] })
  await close()
}
report({ results } satisfies ApiResult)
