import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { OnnxEngine } from '../../../backend/engine/engine.ts'
import { bundledModelFolder } from '../../../backend/config.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { AbortedError } from '../../../backend/sharding/signals.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'
import { TinyLlama } from '../graph/tiny-llama.ts'
import { arm, type Kill } from '../engine/killer.ts'
import { generationRequest } from '../../support/generation-request.ts'

const options = { slots: 4, capacity: 32, intraOpNumThreads: 1 }
const parallel = { tensorParallelSize: 2, pipelineParallelSize: 2 }
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** A converted model of 4 ranks, and one of other sizes. */
let folder = ''
let other = ''
beforeAll(async () => {
  folder = makeTempFolder()
  other = makeTempFolder()
  new TinyLlama({ hidden_size: 96 }).write(other)
  await convertModel(other, join(other, 'graph'), { parallel })
})
beforeEach(async () => {
  new TinyLlama().write(folder)
  rmSync(join(folder, 'graph'), { recursive: true, force: true })
  await convertModel(folder, join(folder, 'graph'), { parallel })
})
afterAll(() => {
  removeFolder(folder)
  removeFolder(other)
})

test('a rank that cannot compute fails the step, and each step after it', () => {
  for (const name of ['rank-1.segment-2.onnx', 'rank-1.weights.bin']) {
    copyFileSync(join(other, 'graph', name), join(folder, 'graph', name))
  }
  let reason = ''
  try {
    const decoder = openDecoder(join(folder, 'graph'), options)
    try {
      decoder.prefill(0, 0, [1, 2, 3])
    } finally {
      expect(() => decoder.decode(0, [1], [3])).toThrow(AbortedError)
      expect(() => decoder.copySlot(0, 1, 3)).toThrow('a part of the model has failed: rank 1:')
      decoder.close()
      decoder.close()
      expect(() => decoder.decode(0, [1], [3])).toThrow('this decoder is closed')
    }
  } catch (error) {
    reason = String(error)
  }
  expect(reason).toMatch(/^AbortedError: a part of the model has failed: rank 1: /)
})

test('a rank whose graph is missing fails the start', () => {
  rmSync(join(folder, 'graph', 'rank-3.segment-1.onnx'))
  expect(() => openDecoder(join(folder, 'graph'), options)).toThrow(
    /^a part of the model has failed: rank 3: /,
  )
})

/** What the calls of a decoder say in whose ranks one is killed. */
const failuresWith = async (given: Omit<Kill, 'file'>): Promise<unknown> => {
  const kill: Kill = { ...given, file: join(folder, 'killed') }
  rmSync(`${kill.file}.done`, { force: true })
  arm(kill)
  const worker = new Worker(script('./decoder-thread.ts'), {
    workerData: { folder: join(folder, 'graph') },
    execArgv: ['--import', script('../engine/killer.ts')],
    env: { ...process.env, BURROW_TEST_KILLS: JSON.stringify([kill]) },
  })
  const [failures] = await once(worker, 'message')
  await once(worker, 'exit')
  return failures
}

test('a rank whose thread ends without a word fails the step: nothing hangs', async () => {
  const reason = 'AbortedError: a part of the model has failed: rank 1 has ended'
  expect(await failuresWith({ rank: 1, at: 'decode', how: 'exit' })).toEqual({
    first: reason,
    next: reason,
    close: null,
  })
})

test('closing does not fail, also where a rank ends in the middle of it', async () => {
  for (const how of ['exit', 'throw'] as const) {
    expect(await failuresWith({ rank: 1, at: 'close', how })).toEqual({
      first: null,
      next: null,
      close: null,
    })
  }
})

test.each([
  ['closed', 7],
  ['not closed', 7],
  ['while they wait', 7],
  ['while they compute', 7],
  ['by an exception', 1],
])('a process ends with its own exit code: ranks %s', async (how, code) => {
  const child = spawn(process.execPath, [script('./leave-process.ts'), join(folder, 'graph'), how])
  expect(await once(child, 'exit')).toEqual([code, null])
})

test('an engine over four ranks answers, and ends with them', async () => {
  const graphFolder = join(folder, 'bundled')
  const manifest = await convertModel(bundledModelFolder, graphFolder, { parallel })
  const engine = await OnnxEngine.start({
    modelFolder: bundledModelFolder,
    graphFolder,
    numSlots: 4,
    maxNumSeqs: 2,
    maxNumRequests: 4,
    maxNumBatchedTokens: 64,
    vocabSize: manifest.vocabSize,
    maxModelLen: 128,
    endOfSequenceTokens: [1],
    intraOpNumThreads: 1,
  })
  const stream = engine.add(
    generationRequest({ promptTokens: [5, 6, 7], maxTokens: 9, ignoreEos: true }),
  )
  const events = []
  for await (const event of stream) events.push(event)
  await engine.close()
  expect([events.at(-1)?.end, (await engine.ended).message]).toEqual([
    'length',
    'the engine thread has ended',
  ])
})
