import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { Worker } from 'node:worker_threads'
import { once } from 'node:events'
import { expect, test } from 'vitest'

/** Of each thread of this process, from /proc. */
const priorities = (): Map<number, number> =>
  new Map(
    readdirSync('/proc/self/task').map((id) => {
      const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8')
      // After the name, which may have spaces: state is field 3, nice field 19.
      return [Number(id), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])]
    }),
  )

test.runIf(process.platform === 'linux')(
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
