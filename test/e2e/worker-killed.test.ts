import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { dial } from '../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../backend/tunnel/login.ts'
import { TokenMint } from '../../backend/tunnel/token.ts'
import { chat, event, hanging, sse, textReader } from '../gateway/forwarding.ts'
import { childPids, ProgramProcess } from '../support/burrow-process.ts'
import { silentLog } from '../support/silent-log.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { freePort } from '../support/free-port.ts'

const devWorkerTs = fileURLToPath(new URL('../../gateway/dev-worker.ts', import.meta.url))

/** The process and all that it started, the last ones first. */
const family = (pid: number): number[] => [...childPids(pid).flatMap(family), pid]

const killAll = (pid: number): void => {
  for (const member of family(pid)) process.kill(member, 'SIGKILL')
}

/** `npm run dev:worker`, once it is up. */
const startWorker = async (port: number, state: string): Promise<ProgramProcess> => {
  const args = ['--port', String(port), '--state', state]
  const worker = new ProgramProcess([devWorkerTs, ...args])
  onTestFinished(async () => {
    if (worker.isRunning) killAll(worker.child.pid ?? 0)
    await worker.exited()
  })
  await worker.printed(/npm run dev:backend/)
  return worker
}

test('a workerd that is killed breaks what runs, and the backend comes back to the next one', async () => {
  const state = tempFolder()
  const port = await freePort()
  const worker = await startWorker(port, state)
  const [key] = await worker.printed(/brw_\w+/)
  const backend = parseEnv(readFileSync(join(state, 'backend.env'), 'utf8'))

  const stream = hanging(event('a'), sse)
  const tunnel = dial({
    url: backend['BURROW_GATEWAY'] ?? '',
    login: tokenLogin(new TokenMint({ enrolmentSecret: backend['BURROW_TOKEN'] ?? '' })),
    models: ['tiny'],
    handler: stream.handler,
    log: silentLog,
    random: () => 0,
  })
  onTestFinished(() => tunnel.close(0))
  await tunnel.connected
  const ask = () =>
    fetch(`http://127.0.0.1:${port}${chat}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny', stream: true }),
    })
  const reader = textReader(await ask())
  expect((await reader.read()).value).toBe(event('a'))
  killAll(worker.child.pid ?? 0)
  await expect(reader.read()).rejects.toThrow()
  await stream.cancelled

  const next = await startWorker(port, state)
  expect(next.output).not.toContain('brw_')
  let answer = await ask()
  while (answer.status === 503) {
    await answer.body?.cancel()
    answer = await ask()
  }
  expect((await textReader(answer).read()).value).toBe(event('a'))
})
