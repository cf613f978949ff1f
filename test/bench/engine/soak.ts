/**
 * Whether memory stays flat: `node --expose-gc test/bench/engine/soak.ts MODE [COUNT] [--tp N] [--pp N]`
 *
 *   runs      100,000 runs of a binding, tensors bound anew for every tenth
 *   sessions  10,000 sessions opened, run once and closed
 *   requests  20,000 short random requests to the engine: aborts, n, stop strings, log-probabilities
 *   deaths    50 times the engine is killed in the middle of its work and comes back
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bundledModelFolder } from '../../../backend/config.ts'
import { OnnxEngine, type OnnxEngineOptions } from '../../../backend/engine/engine.ts'
import { RecoveringEngine } from '../../../backend/engine/recovering-engine.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { createHandleMemory } from '../../../backend/onnxruntime/handle-table.ts'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { Tensor } from '../../../backend/onnxruntime/tensor.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { addGraph, ModelFolder } from '../../backend/onnxruntime/small-models.ts'
import { silentLog } from '../../support/silent-log.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'
import { generationRequest } from '../../support/generation-request.ts'
import { MemoryCurve } from './memory-curve.ts'
import { randomRequest } from './random-request.ts'

const flag = { type: 'string', default: '1' } as const
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { tp: flag, pp: flag },
})
const [mode = '', countText] = positionals
const numSamples = 20

/** Calls `act` that often, one after the other, and samples the memory in between. */
const repeat = async (
  unit: string,
  count: number,
  act: (index: number) => unknown,
): Promise<void> => {
  const curve = new MemoryCurve(unit)
  const every = Math.max(1, Math.floor(count / numSamples))
  for (let index = 0; index < count; index++) {
    await act(index)
    if ((index + 1) % every === 0) curve.sample(index + 1)
  }
  curve.printSlope()
}

const soakRuns = async (count: number): Promise<void> => {
  using models = new ModelFolder()
  const environment = new Environment()
  const session = new Session(environment, models.write(addGraph), { intraOpNumThreads: 1 })
  const data = new Float32Array(64)
  const bind = () => {
    const [x, w, y] = [0, 1, 2].map(() => new Tensor(environment, data.slice(), [64]))
    if (x === undefined || w === undefined || y === undefined) throw new Error('no tensors')
    const binding = session.bind({ x, w }, { y })
    for (const tensor of [x, w, y]) tensor.close()
    return binding
  }
  let binding = bind()
  await repeat('runs', count, (index) => {
    if (index % 10 === 0) {
      binding.close()
      binding = bind()
    }
    binding.run()
  })
  environment.close()
}

const soakSessions = async (count: number): Promise<void> => {
  using models = new ModelFolder()
  const path = models.write(addGraph)
  await repeat('sessions', count, () => {
    const environment = new Environment()
    const session = new Session(environment, path, { intraOpNumThreads: 1 })
    const [x, w, y] = [1, 2, 0].map((value) => {
      return new Tensor(environment, new Float32Array(8).fill(value), [8])
    })
    if (x === undefined || w === undefined || y === undefined) throw new Error('no tensors')
    session.bind({ x, w }, { y }).run()
    if (y.data[0] !== 3) throw new Error('a wrong sum')
    for (const tensor of [x, w, y]) tensor.close()
    environment.close()
  })
}

/** The bundled model's engine, as `--tp` and `--pp` split it. */
const engineOptions = async (folder: string): Promise<OnnxEngineOptions> => {
  const parallel = {
    tensorParallelSize: Number(values.tp),
    pipelineParallelSize: Number(values.pp),
  }
  const graphFolder = join(folder, 'graph')
  const { vocabSize } = await convertModel(bundledModelFolder, graphFolder, { parallel })
  return {
    modelFolder: bundledModelFolder,
    graphFolder,
    tokenizer: loadTokenizer(bundledModelFolder),
    numSlots: 32,
    maxNumSeqs: 16,
    maxNumRequests: 1024,
    maxNumBatchedTokens: 256,
    vocabSize,
    maxModelLen: 512,
    endOfSequenceTokens: [1],
    intraOpNumThreads: 1,
  }
}

/** 48 in the engine at a time. */
const soakRequests = async (count: number, folder: string): Promise<void> => {
  const options = await engineOptions(folder)
  const engine = await OnnxEngine.start(options)
  const ends = new Map<string, number>()
  const ask = async (index: number): Promise<void> => {
    const { requests, abortAfter } = randomRequest(index, options)
    const streams = engine.addAll(requests)
    for (const stream of streams) {
      for await (const event of stream) {
        if (event.completionTokens >= abortAfter) stream.abort()
        if (event.end) ends.set(event.end, (ends.get(event.end) ?? 0) + 1)
      }
    }
  }
  const running = new Set<Promise<void>>()
  await repeat('requests', count, async (index) => {
    const one = ask(index).finally(() => running.delete(one))
    running.add(one)
    if (running.size >= 48) await Promise.race(running)
  })
  await Promise.all(running)
  process.stdout.write(`${JSON.stringify(Object.fromEntries(ends))}\n`)
  process.stdout.write(`${JSON.stringify(engine.stats())}\n`)
  await engine.close()
}

const soakDeaths = async (count: number, folder: string): Promise<void> => {
  const options = await engineOptions(folder)
  const handles = createHandleMemory()
  let kill = new AbortController()
  const engine = await RecoveringEngine.start({
    start: (signal) => {
      kill = new AbortController()
      return OnnxEngine.start(options, { handles, signal: AbortSignal.any([signal, kill.signal]) })
    },
    log: silentLog,
    limits: { maxRestarts: count, withinMs: 3_600_000, firstBackoffMs: 1, maxBackoffMs: 1 },
  })
  const endless = (id: string) =>
    generationRequest({ id, promptTokens: [5, 6, 7], maxTokens: 500, ignoreEos: true })
  await repeat('deaths', count, async (index) => {
    while (engine.state !== 'ok') await new Promise((resolve) => setTimeout(resolve, 5))
    if (engine.restarts !== index) throw new Error(`${engine.restarts} restarts, not ${index}`)
    const streams = engine.addAll(Array.from({ length: 16 }, (_, i) => endless(`${index}-${i}`)))
    for await (const event of streams[0] ?? []) if (event.completionTokens === 40) break
    kill.abort()
    for (const stream of streams.slice(1)) {
      const { end } = await stream.result
      if (end !== 'error') throw new Error(`a request ended with ${end}`)
    }
  })
  await engine.close()
}

const soaks: Record<string, readonly [number, (count: number, folder: string) => Promise<void>]> = {
  runs: [100_000, soakRuns],
  sessions: [10_000, soakSessions],
  requests: [20_000, soakRequests],
  deaths: [50, soakDeaths],
}

const soak = soaks[mode]
if (soak === undefined) throw new Error(`the modes are ${Object.keys(soaks).join(', ')}`)
const [defaultCount, run] = soak
const folder = makeTempFolder()
const startedAt = performance.now()
try {
  await run(Number(countText ?? defaultCount), folder)
} finally {
  removeFolder(folder)
}
process.stdout.write(`${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`)
