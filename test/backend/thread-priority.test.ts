import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { Worker } from 'node:worker_threads'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { bundledModelFolder } from '../../backend/config.ts'
import { convertModel } from '../../backend/conversion/convert.ts'
import { OnnxEngine } from '../../backend/engine/engine.ts'
import { loadTokenizer } from '../../backend/tokenizer/load-tokenizer.ts'
import { PromptEncoder } from '../../backend/tokenizer/prompt-encoder.ts'
import { tempFolder } from '../support/temp-folder.ts'

/** Of each thread of this process, from /proc. */
const priorities = (): Map<number, number> =>
  new Map(
    readdirSync('/proc/self/task').map((id) => {
      const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8')
      // After the name, which may have spaces: state is field 3, nice field 19.
      return [Number(id), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])]
    }),
  )

/** How many of the threads started meanwhile give way to this one. */
const backgroundThreads = async (start: () => Promise<unknown>): Promise<number> => {
  const before = priorities()
  await start()
  const started = [...priorities()].filter(([id]) => !before.has(id))
  return started.filter(([, nice]) => nice === getPriority() + 5).length
}

const isLinux = process.platform === 'linux'

test.runIf(isLinux)('the engine gives way, with those that compute for it', async () => {
  const graphFolder = tempFolder()
  const { vocabSize } = await convertModel(bundledModelFolder, graphFolder)
  const start = async (): Promise<void> => {
    const engine = await OnnxEngine.start({
      modelFolder: bundledModelFolder,
      graphFolder,
      numSlots: 1,
      maxNumSeqs: 1,
      maxNumRequests: 1,
      maxNumBatchedTokens: 64,
      vocabSize,
      maxModelLen: 64,
      endOfSequenceTokens: [],
      intraOpNumThreads: 2,
    })
    onTestFinished(() => engine.close())
  }
  // Its own, and one more for operators.
  expect(await backgroundThreads(start)).toBeGreaterThanOrEqual(2)
})

test.runIf(isLinux)('the thread of long prompts gives way', async () => {
  const tokenizer = loadTokenizer(bundledModelFolder)
  const encoder = new PromptEncoder(tokenizer, bundledModelFolder, { longText: 1 })
  onTestFinished(() => encoder.close())
  expect(await backgroundThreads(() => encoder.encode('x', true))).toBeGreaterThanOrEqual(1)
})

test.runIf(isLinux)(
  'only the thread that computes, and those it starts, give way to others',
  async () => {
    const before = priorities()
    const own = getPriority()
    const url = new URL('../../backend/thread-priority.ts', import.meta.url)
    const inner = `require('node:worker_threads').parentPort.on('message', () => {})`
    const worker = new Worker(
      `const { parentPort, Worker } = require('node:worker_threads')
       import(${JSON.stringify(url.href)}).then(({ computeInBackground }) => {
         computeInBackground()
         new Worker(${JSON.stringify(inner)}, { eval: true }).once('online', () => parentPort.postMessage(''))
       })`,
      { eval: true },
    )
    await once(worker, 'message')
    const after = priorities()
    await worker.terminate()
    for (const [id, nice] of before) if (after.has(id)) expect(after.get(id)).toBe(nice)
    const started = [...after].filter(([id]) => !before.has(id)).map(([, nice]) => nice)
    expect(started.filter((nice) => nice === own + 5).length).toBeGreaterThanOrEqual(2)
    expect(getPriority()).toBe(own)
  },
)
