/**
 * Sharding on this machine's CPU: `node test/bench/engine/sharding.ts [agreement] [speed]`, both when
 * neither is named. Agreement: every combination on 20 prompts and 200 tokens. Speed: two ranks against
 * one with one and two threads; rounds are interleaved, trust the ratios, and those only on a quiet
 * machine with two free cores.
 */
import { mkdirSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { bundledModelFolder } from '../../../backend/config.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { Signals, signalMemory } from '../../../backend/sharding/signals.ts'
import {
  agreement,
  agreementOptions,
  agreementPrompts,
  combinations,
  record,
  type Recording,
} from '../../backend/sharding/agreement.ts'
import { TinyLlama } from '../../backend/graph/tiny-llama.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'

const print = (...columns: readonly (string | number)[]): void => {
  process.stdout.write(`${columns.join('\t')}\n`)
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const measureAgreement = async (folder: string): Promise<void> => {
  const prompts = agreementPrompts()
  let expected: Recording | undefined
  print('T', 'P', 'max difference', 'tokens', 'near ties', 'wrong')
  for (const parallel of combinations) {
    const { tensorParallelSize: T, pipelineParallelSize: P } = parallel
    const out = join(folder, `agreement-${T}-${P}`)
    await convertModel(bundledModelFolder, out, { parallel })
    const decoder = openDecoder(out, agreementOptions)
    const recording = record(decoder, prompts, 200, expected)
    decoder.close()
    expected ??= recording
    const found = agreement(expected, recording, prompts.length)
    const { maxDifference, numTokens, nearTies, wrongTokens } = found
    print(T, P, maxDifference.toExponential(1), numTokens, nearTies, wrongTokens)
  }
}

/** Tensor and pipeline parallel size, and threads of one operator in all. */
const forms = [
  [1, 1, 1],
  [1, 1, 2],
  [1, 2, 2],
  [2, 1, 2],
] as const

/** A model of 42 million parameters, so that a step is not all overhead. */
const larger = {
  hidden_size: 512,
  intermediate_size: 1536,
  num_hidden_layers: 12,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 64,
  vocab_size: 4096,
  max_position_embeddings: 1024,
}

type OpenDecoder = ReturnType<typeof openDecoder>

const promptOf = (length: number): number[] =>
  Array.from({ length }, (_, i) => 2 + ((7 * i * i + 3 * i) % 600))

const flowRepeats = 10

/** A token for each of 16 sequences, as the engine's step loop has it: over stages, in groups that are in flight. */
const decodeInFlight = (decoder: OpenDecoder, repeat: number): void => {
  const length = 64 + repeat
  const lengthsOf = (count: number) => Array.from({ length: count }, () => length)
  if (!('startDecode' in decoder) || decoder.numStages === 1) {
    decoder.decode(0, promptOf(16), lengthsOf(16))
    return
  }
  const rows = 16 / decoder.numStages
  const start = (group: number) =>
    decoder.startDecode(group * rows, promptOf(rows), lengthsOf(rows))
  for (let group = 0; group < decoder.numStages; group++) {
    if (repeat > 0) decoder.finishDecode()
    start(group)
  }
  if (repeat < flowRepeats - 1) return
  for (let group = 0; group < decoder.numStages; group++) decoder.finishDecode()
}

const workloads: readonly {
  readonly name: string
  readonly repeats: number
  readonly run: (decoder: OpenDecoder, repeat: number) => void
}[] = [
  { name: 'decode 1', repeats: 20, run: (d, i) => d.decode(0, [5], [64 + i]) },
  {
    name: 'decode 16',
    repeats: 10,
    run: (d, i) =>
      d.decode(
        0,
        promptOf(16),
        Array.from({ length: 16 }, () => 64 + i),
      ),
  },
  { name: 'decode 16, in flight', repeats: flowRepeats, run: decodeInFlight },
  { name: 'prefill 256', repeats: 2, run: (d) => d.prefill(3, 0, promptOf(256)) },
]

const measureSpeed = async (name: string, model: string, folder: string): Promise<void> => {
  const decoders: OpenDecoder[] = []
  for (const [T, P, intraOpNumThreads] of forms) {
    const out = join(folder, `${name}-${T}-${P}`)
    const parallel = { tensorParallelSize: T, pipelineParallelSize: P }
    await convertModel(model, out, { parallel })
    decoders.push(openDecoder(out, { slots: 16, capacity: 320, intraOpNumThreads }))
  }
  for (const decoder of decoders) {
    for (let slot = 0; slot < 16; slot++) decoder.prefill(slot, 0, promptOf(64))
  }
  for (const { name: workload, repeats, run } of workloads) {
    const times = decoders.map((): number[] => [])
    for (let round = 0; round < 15; round++) {
      for (const [index, decoder] of decoders.entries()) {
        const start = performance.now()
        for (let repeat = 0; repeat < repeats; repeat++) run(decoder, repeat)
        times[index]?.push((performance.now() - start) / repeats)
      }
    }
    for (const [index, [T, P, threads]] of forms.entries()) {
      const mine = times[index] ?? []
      const ratio = median(mine.map((time, round) => time / (times[0]?.[round] ?? 0)))
      const columns = [median(mine), Math.min(...mine), ratio].map((value) => value.toFixed(2))
      print(name, workload, `T=${T} P=${P}`, `${threads} threads`, ...columns)
    }
  }
  for (const decoder of decoders) decoder.close()
}

/** µs for two threads to meet, as they do after each segment: once for each all-reduce. */
const measureMeeting = async (): Promise<number> => {
  const numMeetings = 20_000
  const memory = signalMemory(1, 0)
  const data = { memory, spins: 20_000, numThreads: 2, numMeetings: numMeetings + 1 }
  const worker = new Worker(new URL('./meet-thread.ts', import.meta.url), { workerData: data })
  const signals = new Signals(memory, 0, data.spins)
  signals.meet(0, 2)
  const start = performance.now()
  for (let i = 0; i < numMeetings; i++) signals.meet(0, 2)
  const elapsed = performance.now() - start
  await worker.terminate()
  return (elapsed * 1000) / numMeetings
}

const wanted = process.argv.slice(2)
const wants = (part: string): boolean => wanted.length === 0 || wanted.includes(part)
const folder = makeTempFolder()
try {
  print(`${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)}`)
  if (wants('agreement')) await measureAgreement(folder)
  if (wants('speed')) {
    const model = join(folder, 'larger')
    mkdirSync(model)
    new TinyLlama(larger).write(model)
    print('model', 'workload', 'ranks', 'in all', 'median ms', 'best ms', 'to one thread')
    await measureSpeed('bundled', bundledModelFolder, folder)
    await measureSpeed('42M', model, folder)
    const microseconds = await measureMeeting()
    print(`two threads meet in ${microseconds.toFixed(2)} µs; 2 · layers + 2 times a step`)
  }
} finally {
  removeFolder(folder)
}
