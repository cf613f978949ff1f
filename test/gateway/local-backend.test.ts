import { execPath } from 'node:process'
import { expect, onTestFinished, test } from 'vitest'
import { LocalBackend } from '../../gateway/local-backend.ts'
import { silentLog } from '../support/silent-log.ts'
import { eventually } from '../support/eventually.ts'

const start = (command: readonly [string, ...string[]], flags: Record<string, string> = {}) => {
  const options = { command, flags, env: {}, log: silentLog, firstBackoffMs: 10 }
  const backend = new LocalBackend(options)
  onTestFinished(() => backend.close())
  return backend
}

test('a program that cannot be started fails the start, and closing ends all the same', async () => {
  const backend = start(['/nowhere/burrow'])
  await expect(backend.ready).rejects.toThrow(/could not start: .*\/nowhere\/burrow/)
  await backend.close()
})

test('the reason that the child gives is told', async () => {
  const script = `process.send({ type: 'failed', reason: process.argv[1] }, () => process.exit(1))`
  const backend = start([execPath, '-e', script, '--'], { name: '-x' })
  await expect(backend.ready).rejects.toThrow('the backend could not start: --name=-x')
})

test('a child that dies once it was ready is started anew', async () => {
  const script = `process.send({ type: 'ready' }); process.on('message', () => process.exit())`
  const backend = start([execPath, '-e', script])
  await backend.ready
  const first = backend.pid ?? 0
  process.kill(first, 'SIGKILL')
  await eventually(() => backend.pid !== null && backend.pid !== first)
})
