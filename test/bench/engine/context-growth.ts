/** What a decode step costs as the context grows and as the batch grows. */
import { Decoder } from '../../../backend/graph/decoder.ts'
import { convertedModel, type ConvertedModel } from './models/converted-model.ts'
import { randomLlama, shape135M } from './models/random-llama.ts'
import type { BenchOptions } from './options.ts'
import { median, printTable } from './statistics.ts'

const contexts = [128, 512, 2048, 8192] as const
const batches = [1, 4, 16, 64] as const
/** Tokens in the cache of all sequences together: 3 GiB as float32. */
const maxCachedTokens = 65_536

/** Steps of a cell, within bounds of time. */
const [minSteps, maxSteps, enoughMs] = [3, 20, 500]

const tokenAt = (position: number): number => 300 + ((position * 104_729) % 48_000)

/** Medians of one context by batch; undefined where the cache would be too large. */
const stepTimes = (
  { folder, cacheDtype }: ConvertedModel,
  context: number,
  threads: number,
): (number | undefined)[] => {
  const fitting = batches.filter((batch) => batch * context <= maxCachedTokens)
  const slots = Math.max(...fitting)
  const sizes = { slots, capacity: context, intraOpNumThreads: threads }
  const decoder = new Decoder(folder, { ...sizes, cacheDtype })
  const chunk = 256
  const length = context - 1
  for (let from = 0; from < length; from += chunk) {
    const numTokens = Math.min(chunk, length - from)
    decoder.prefill(
      0,
      from,
      Array.from({ length: numTokens }, (_, i) => tokenAt(from + i)),
    )
  }
  for (let slot = 1; slot < slots; slot++) decoder.copySlot(0, slot, length)
  const times = batches.map((batch) => {
    if (!fitting.includes(batch)) return undefined
    const tokens = Array.from({ length: batch }, (_, row) => tokenAt(row))
    const lengths = tokens.map(() => length)
    decoder.decode(0, tokens, lengths)
    const found: number[] = []
    const startedAt = performance.now()
    while (
      found.length < minSteps ||
      (found.length < maxSteps && performance.now() - startedAt < enoughMs)
    ) {
      const before = performance.now()
      decoder.decode(0, tokens, lengths)
      found.push(performance.now() - before)
    }
    return median(found)
  })
  decoder.close()
  return times
}

export const measureContextGrowth = async ({
  format,
  embedding,
  threads,
}: BenchOptions): Promise<void> => {
  const model = randomLlama(shape135M, embedding)
  for (const name of new Set(['float32', format, `${format}+int8-cache`])) {
    const converted = await convertedModel(model, name)
    console.log(`## Context and batch\n\n${name}, ms a decode step, ${threads} threads\n`)
    const byContext = contexts.map((context) => stepTimes(converted, context, threads))
    const rows = batches.map((batch, index) => [
      batch,
      ...byContext.map((times) => times[index]?.toFixed(1) ?? ''),
    ])
    printTable(['sequences', ...contexts.map((context) => `${context} tokens`)], rows)
  }
}
