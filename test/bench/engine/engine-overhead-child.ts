// Runs sequences through the whole engine and reports its steps as time-steps.ts noted them.
import { setEnvironmentData } from 'node:worker_threads'
import { OnnxEngine } from '../../../backend/engine/engine.ts'
import type { CacheDtype } from '../../../backend/graph/cache-dtype.ts'
import { readManifest } from '../../../backend/graph/manifest.ts'
import { loadTextFormat } from '../../../backend/tokenizer/load-tokenizer.ts'
import { generationRequest } from '../../support/generation-request.ts'
import { childSettings, report } from './child.ts'
import { sampling } from './workload.ts'
import { stepTimesKey, stepTimesMemory, stepTimesOf, type StepTime } from './step-times.ts'

export type OverheadSettings = {
  readonly model: string
  readonly graphFolder: string
  readonly cacheDtype: CacheDtype
  readonly threads: number
  readonly batch: number
}

/** Of the steps in which all sequences decode; milliseconds. */
export type OverheadResult = {
  readonly steps: readonly {
    /** From its beginning to that of the next one. */
    readonly period: number
    readonly step: number
    readonly run: number
  }[]
}

const { model, graphFolder, cacheDtype, threads, batch } = childSettings<OverheadSettings>()
const memory = stepTimesMemory()
setEnvironmentData(stepTimesKey, memory)
const { tokenizer } = await loadTextFormat(model)
const engine = await OnnxEngine.start({
  modelFolder: model,
  tokenizer,
  graphFolder,
  numSlots: batch,
  maxNumSeqs: batch,
  maxNumRequests: batch,
  maxNumBatchedTokens: 256,
  vocabSize: readManifest(graphFolder).vocabSize,
  maxModelLen: 288,
  endOfSequenceTokens: [2],
  intraOpNumThreads: threads,
  cacheDtype,
})
const streams = engine.addAll(
  Array.from({ length: batch }, (_, index) =>
    generationRequest({
      id: String(index),
      promptTokens: Array.from({ length: 128 }, (_, i) => 300 + ((index * 7919 + i * 31) % 48_000)),
      maxTokens: 128,
      ignoreEos: true,
      sampling: { ...sampling, seed: index },
    }),
  ),
)
// Read as a route would read them, so that the main thread has its work too.
await Promise.all(
  streams.map(async (stream) => {
    for await (const { end } of stream) if (end === 'error') throw new Error('the engine failed')
  }),
)
await engine.close()

const { counter, steps } = stepTimesOf(memory)
const all = Array.from({ length: counter[0] ?? 0 }, (_, index): StepTime => steps.get(index))
const found = all.flatMap((step, index) => {
  const next = all[index + 1]
  if (step.numEvents !== batch || next?.numEvents !== batch) return []
  const { startedAt, endedAt, runMs } = step
  return [{ period: next.startedAt - startedAt, step: endedAt - startedAt, run: runMs }]
})
report({ steps: found } satisfies OverheadResult)
