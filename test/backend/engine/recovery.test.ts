/** Threads of the engine die for real, in every phase and every way that does not take the process along. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import type { OnnxEngineOptions } from '../../../backend/engine/engine.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import type { Kill } from './killer.ts'

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

type Split = { readonly tensorParallelSize: number; readonly pipelineParallelSize: number }

/** What a process saw whose engine was killed so. */
const runKilled = async (
  parallel: Split,
  kills: readonly Omit<Kill, 'file'>[],
  stepTimeoutMs?: number,
) => {
  const folder = tempFolder()
  const graphFolder = join(folder, 'graph')
  const { vocabSize } = await convertModel(bundledModelFolder, graphFolder, { parallel })
  const options: OnnxEngineOptions = {
    modelFolder: bundledModelFolder,
    graphFolder,
    numSlots: 4,
    maxNumSeqs: 2,
    maxNumRequests: 4,
    maxNumBatchedTokens: 64,
    vocabSize,
    maxModelLen: 128,
    endOfSequenceTokens: [1],
    intraOpNumThreads: 2,
    stepTimeoutMs,
  }
  const given = kills.map((kill, index) => ({ ...kill, file: join(folder, `killed-${index}`) }))
  // A small heap is soon full.
  const args = ['--max-old-space-size=100', '--import', script('./killer.ts')]
  const child = spawn(
    process.execPath,
    [...args, script('./killed-engine.ts'), JSON.stringify(options)],
    {
      env: { ...process.env, BURROW_TEST_KILLS: JSON.stringify(given) },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
      killSignal: 'SIGKILL',
    },
  )
  const [output, errors, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  if (code !== 0) throw new Error(`ended with ${code ?? signal}: ${errors}`)
  return JSON.parse(output)
}

/** Each kill as its three requests saw it, and one after it. */
const each = (count: number, end: 'error' | 'length') =>
  Array.from({ length: count }, () => ({
    during: [end, end, end],
    refused: 'engine_unavailable',
    state: 'ok',
    after: ['length'],
  }))

const failure = (reason: string): string => `a part of the model has failed: ${reason}`

test('two tensor ranks: one dies in each phase, and the engine comes back', async () => {
  const report = await runKilled({ tensorParallelSize: 2, pipelineParallelSize: 1 }, [
    { rank: 1, at: 'prefill', how: 'exit' },
    { rank: 0, at: 'decode', how: 'throw' },
    { rank: 1, at: 'load', how: 'terminate' },
    { rank: 1, at: 'idle', how: 'exit' },
  ])
  expect(report).toEqual({
    // Nobody is hurt by the death of an idle one.
    seen: [...each(2, 'error'), ...each(1, 'length')],
    reasons: [
      failure('rank 1 has ended'),
      failure('rank 0: killed by a test'),
      failure('rank 1 has ended'),
      failure('rank 1 has ended'),
    ],
    ended: 'the engine thread has ended',
    restarts: 3,
    running: 0,
    waiting: 0,
    handlesLeft: 0,
  })
}, 60_000)

test('two stages: one dies in each phase, and the engine comes back', async () => {
  const report = await runKilled({ tensorParallelSize: 1, pipelineParallelSize: 2 }, [
    { rank: 1, at: 'prefill', how: 'terminate' },
    { rank: 0, at: 'decode', how: 'memory' },
    { rank: 0, at: 'load', how: 'throw' },
    { rank: 1, at: 'close', how: 'exit' },
  ])
  expect(report).toMatchObject({
    seen: each(2, 'error'),
    reasons: [
      failure('rank 1 has ended'),
      expect.stringContaining('memory limit'),
      failure('rank 0: killed by a test'),
    ],
    ended: 'the engine thread has ended',
    restarts: 2,
    running: 0,
    waiting: 0,
  })
}, 60_000)

test('one rank: the engine thread dies in each way, and comes back each time', async () => {
  const whole = { tensorParallelSize: 1, pipelineParallelSize: 1 }
  const report = await runKilled(whole, [
    { rank: null, at: 'step', how: 'throw' },
    { rank: null, at: 'step', how: 'exit' },
    { rank: null, at: 'step', how: 'memory' },
  ])
  expect(report).toEqual({
    seen: each(3, 'error'),
    reasons: [
      'killed by a test',
      'the engine thread has ended',
      expect.stringContaining('memory limit'),
    ],
    ended: 'the engine thread has ended',
    restarts: 3,
    running: 0,
    waiting: 0,
    handlesLeft: 0,
  })
}, 60_000)

test('a thread that hangs in a step: the step is given up, and the engine comes back', async () => {
  const reason = 'a step took longer than 2 s: if it was not stuck, give a larger --step-timeout'
  const whole = { tensorParallelSize: 1, pipelineParallelSize: 1 }
  const engine = [{ rank: null, at: 'step', how: 'hang' }] as const
  const ranks = { tensorParallelSize: 2, pipelineParallelSize: 1 }
  const rank = [{ rank: 1, at: 'decode', how: 'hang' }] as const
  for (const report of [
    await runKilled(whole, engine, 2_000),
    await runKilled(ranks, rank, 2_000),
  ]) {
    expect(report).toEqual({
      seen: each(1, 'error'),
      reasons: [reason],
      ended: 'the engine thread has ended',
      restarts: 1,
      running: 0,
      waiting: 0,
      handlesLeft: 0,
    })
  }
}, 60_000)
