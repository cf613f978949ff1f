import { rename } from 'node:fs/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { OnnxEngine } from '../../../backend/engine/engine.ts'
import { RecoveringEngine } from '../../../backend/engine/recovering-engine.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import type { Manifest } from '../../../backend/graph/manifest.ts'
import { createHandleMemory } from '../../../backend/onnxruntime/handle-table.ts'
import { eventually } from '../../support/eventually.ts'
import { generationRequest } from '../../support/generation-request.ts'
import { silentLog } from '../../support/silent-log.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'

const folder = makeTempFolder()
const graphFolder = `${folder}/graph`
let manifest: Manifest
beforeAll(async () => {
  manifest = await convertModel(bundledModelFolder, graphFolder)
})
afterAll(() => removeFolder(folder))

/** An engine whose threads `kill` ends where they are, as running out of memory would. */
const mortal = async (firstBackoffMs: number, maxRestarts = 3) => {
  const handles = createHandleMemory()
  let killer = new AbortController()
  let numStarts = 0
  const engine = await RecoveringEngine.start({
    start: (signal) => {
      numStarts++
      killer = new AbortController()
      return OnnxEngine.start(
        {
          modelFolder: bundledModelFolder,
          graphFolder,
          numSlots: 4,
          maxNumSeqs: 4,
          maxNumRequests: 4,
          maxNumBatchedTokens: 64,
          vocabSize: manifest.vocabSize,
          maxModelLen: manifest.maxPositions,
          endOfSequenceTokens: [],
          intraOpNumThreads: 1,
        },
        { handles, signal: AbortSignal.any([signal, killer.signal]) },
      )
    },
    log: silentLog,
    limits: { maxRestarts, withinMs: 600_000, firstBackoffMs, maxBackoffMs: firstBackoffMs },
  })
  onTestFinished(() => engine.close())
  return { engine, kill: () => killer.abort(), numStarts: () => numStarts }
}

const request = (maxTokens: number) =>
  generationRequest({ id: crypto.randomUUID(), promptTokens: [5, 6, 7], maxTokens })

test('counts go on over the deaths of engines', async () => {
  const { engine, kill } = await mortal(1)
  expect(await engine.add(request(5)).result).toEqual({ end: 'length', completionTokens: 5 })
  const cut = engine.add(request(1_900))
  for await (const event of cut) if (event.completionTokens === 10) kill()
  const { end, completionTokens } = await cut.result
  expect(end).toBe('error')
  await eventually(() => engine.state === 'ok' && engine.restarts === 1)
  await engine.add(request(7)).result
  expect(engine.stats()).toMatchObject({
    running: 0,
    waiting: 0,
    generatedTokens: 5 + completionTokens + 7,
    // Two of the second prompt were in the cache, which died with its engine.
    prefilledTokens: 3 + 1 + 3,
  })
})

test('requests are told when to try again, and closing does not wait for the restart', async () => {
  const { engine, kill } = await mortal(120_000)
  kill()
  await eventually(() => engine.state === 'recovering')
  expect(() => engine.add(request(5))).toThrow(
    expect.objectContaining({
      status: 503,
      code: 'engine_unavailable',
      retryAfterSeconds: expect.toSatisfy((seconds: number) => seconds > 100),
    }),
  )
  await engine.close()
  expect([engine.state, engine.restarts]).toEqual(['ended', 0])
  expect(await engine.ended).toBeInstanceOf(Error)
})

test('closing ends an engine that is loading', async () => {
  const { engine, kill, numStarts } = await mortal(1)
  kill()
  await eventually(() => numStarts() === 2)
  expect(engine.state).toBe('recovering')
  await engine.close()
  expect([engine.state, engine.restarts, numStarts()]).toEqual(['ended', 0, 2])
})

test('one that cannot be loaded any more is given up with the reason', async () => {
  const { engine, kill } = await mortal(1, 2)
  await rename(graphFolder, `${graphFolder}-away`)
  kill()
  const reason = await engine.ended
  await rename(`${graphFolder}-away`, graphFolder)
  expect(reason.message).toMatch(/^the engine has died 3 times .* last because of: .*graph/)
  expect(engine.state).toBe('ended')
  expect(() => engine.add(request(5))).toThrow('The engine is not running')
})
