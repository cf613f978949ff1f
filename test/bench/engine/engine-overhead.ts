/** What the engine costs beside ONNX Runtime: scheduler, sampler, detokenizer, messages to the HTTP thread. */
import { measureInChild } from './child.ts'
import type { OverheadResult, OverheadSettings } from './engine-overhead-child.ts'
import { convertedModel } from './models/converted-model.ts'
import { randomLlama, shape135M } from './models/random-llama.ts'
import type { BenchOptions } from './options.ts'
import { median, printTable } from './statistics.ts'

const hook = new URL('time-steps.ts', import.meta.url).href

export const measureEngineOverhead = async ({
  format,
  embedding,
  rounds,
  threads,
}: BenchOptions): Promise<void> => {
  const model = randomLlama(shape135M, embedding)
  const { folder: graphFolder, cacheDtype } = await convertedModel(model, format)
  console.log(
    `## Engine beside ONNX Runtime\n\n${format}, ms a step at 128 to 256 tokens, ${threads} threads, ` +
      `temperature 0.8, top-k 40, top-p 0.95, median of all steps of ${rounds} processes\n`,
  )
  const rows = []
  for (const batch of [1, 16]) {
    const steps: OverheadResult['steps'][number][] = []
    const settings: OverheadSettings = { model, graphFolder, cacheDtype, threads, batch }
    for (let round = 0; round < rounds; round++) {
      const script = 'engine-overhead-child.ts'
      const measured = await measureInChild<OverheadResult>(script, settings, {
        execArgv: ['--import', hook],
      })
      steps.push(...measured.steps)
    }
    const columns = [
      median(steps.map(({ period }) => period)).toFixed(2),
      median(steps.map(({ run }) => run)).toFixed(2),
      median(steps.map(({ step, run }) => step - run)).toFixed(2),
      median(steps.map(({ period, step }) => period - step)).toFixed(2),
      `${median(steps.map(({ period, run }) => (100 * (period - run)) / period)).toFixed(1)} %`,
    ]
    rows.push([batch, ...columns])
  }
  printTable(
    [
      'sequences',
      'step to step',
      'in ONNX Runtime',
      'rest of the step',
      'between steps',
      'beside it',
    ],
    rows,
  )
}
