/**
 * The engine measured: against node-llama-cpp on the same machine, and against itself. Prints tables; every system runs in
 * a process of its own, and they take turns of a few seconds. Only ratios mean something, and those only on a quiet machine.
 *
 *   node test/bench/engine/run.ts [part ...] [--embedding Q8_0] [--format int4] [--rounds 3] [--threads 2]
 *
 * Parts, all but `tune` when none is named: peer, api, ranks, overhead, growth; tune tries the peer's settings.
 * Embedding and head have 8 bits on both sides, or with `--embedding Q4_0` 4. Other formats, for comparisons with ourselves:
 * float32, float16, int8, …, each also with +int8-cache. Needs npm's registry the first time.
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { measureContextGrowth } from './context-growth.ts'
import { measureEngineOverhead } from './engine-overhead.ts'
import { measureJavaScriptApi } from './javascript-api.ts'
import { parseFormat } from './models/converted-model.ts'
import { ggmlTypes, type GgmlType } from './models/ggml-quantize.ts'
import type { BenchOptions } from './options.ts'
import { comparePeer } from './peer/compare.ts'
import { tunePeer } from './peer/tune.ts'
import { measureRanks } from './ranks.ts'

const parts: Readonly<Record<string, (options: BenchOptions) => Promise<void>>> = {
  peer: comparePeer,
  api: measureJavaScriptApi,
  ranks: measureRanks,
  overhead: measureEngineOverhead,
  growth: measureContextGrowth,
  tune: tunePeer,
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    format: { type: 'string' },
    embedding: { type: 'string', default: 'Q8_0' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
  },
})

/** As many bits as the GGUF file's Q4_0 has in the layers, and its own type in the embedding. */
const nearestFormats = {
  Q8_0: 'int4',
  Q4_0: 'int4+int4-embedding',
} as const satisfies Record<GgmlType, string>

const embeddingType = (name: string): GgmlType => {
  const types = Object.keys(ggmlTypes) as GgmlType[]
  const found = types.find((type) => type === name)
  if (found === undefined) throw new Error(`--embedding must be one of ${types.join(', ')}`)
  return found
}

const count = (name: 'rounds' | 'threads'): number => {
  const value = Number(values[name])
  if (Number.isInteger(value) && value > 0) return value
  throw new Error(`--${name} must be a whole number above 0, not ${values[name]}`)
}

const unknown = positionals.find((name) => !Object.hasOwn(parts, name))
if (unknown !== undefined) {
  throw new Error(`there is no part ${unknown}; there are ${Object.keys(parts).join(', ')}`)
}
const embedding = embeddingType(values.embedding)
const format = values.format ?? nearestFormats[embedding]
parseFormat(format)
const options: BenchOptions = {
  format,
  embedding,
  rounds: count('rounds'),
  threads: count('threads'),
}
const all = Object.keys(parts).filter((name) => name !== 'tune')
console.log(`load of the machine before: ${loadavg()[0]?.toFixed(1)}\n`)
for (const name of positionals.length > 0 ? positionals : all) await parts[name]?.(options)
