/** ONNX Runtime by its C API against onnxruntime-node's JavaScript API, on the same graph. */
import { maxDifference } from '../../backend/graph/tiny-llama.ts'
import { measureInChild } from './child.ts'
import type { ApiForm, ApiResult, ApiSettings, ApiShape } from './javascript-api-child.ts'
import { convertedModel } from './models/converted-model.ts'
import { randomLlama, shape135M } from './models/random-llama.ts'
import type { BenchOptions } from './options.ts'
import { median, printTable } from './statistics.ts'

const forms: Readonly<Record<ApiForm, string>> = {
  'c-api': 'C API',
  'js-in-place': 'JS, presents fetched into the memory of the pasts',
  'js-new-tensors': 'JS, presents as new tensors',
}

const shapes: readonly ApiShape[] = [1, 16].flatMap((rows) =>
  [256, 1024].map((capacity) => ({ rows, capacity })),
)

export const measureJavaScriptApi = async ({
  format,
  embedding,
  rounds,
  threads,
}: BenchOptions): Promise<void> => {
  const model = randomLlama(shape135M, embedding)
  const { folder: graphFolder } = await convertedModel(model, format)
  const times = new Map<string, number[]>()
  const keyOf = (form: string, shape: number): string => `${form} ${shape}`
  let largest = 0
  for (let round = 0; round < rounds; round++) {
    let expected: ApiResult | undefined
    for (const form of Object.keys(forms) as ApiForm[]) {
      const settings: ApiSettings = { form, graphFolder, threads, shapes }
      const measured = await measureInChild<ApiResult>('javascript-api-child.ts', settings)
      expected ??= measured
      for (const [shape, { stepMs, logits }] of measured.results.entries()) {
        const key = keyOf(form, shape)
        times.set(key, [...(times.get(key) ?? []), stepMs])
        const difference = maxDifference(logits, expected.results[shape]?.logits ?? [])
        largest = Math.max(largest, difference)
      }
    }
  }
  console.log(
    `## C API against JavaScript API\n\n${format}, ms a decode step at about 128 tokens, ${threads} threads, ` +
      `median of ${rounds} processes; logits differ by ${largest.toExponential(1)} at most\n`,
  )
  const rows = shapes.map(({ rows, capacity }, shape) => {
    const [first = 0, ...others] = Object.keys(forms).map((form) =>
      median(times.get(keyOf(form, shape)) ?? []),
    )
    const compared = others.map((ms) => `${ms.toFixed(2)} (${(ms / first).toFixed(2)}x)`)
    return [
      `${rows === 1 ? '1 row' : `${rows} rows`}, capacity ${capacity}`,
      first.toFixed(2),
      ...compared,
    ]
  })
  printTable(['', ...Object.values(forms)], rows)
}
