/** `burrow shard` and `burrow up` as a user starts them, one after the other. */
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundledModelFolder } from '../../backend/config.ts'
import { withFolderLock } from '../../backend/conversion/folder-lock.ts'
import { BurrowProcess, runBurrow } from '../support/burrow-process.ts'
import { RunningBurrow } from '../support/running-burrow.ts'
import { makeTempFolder, removeFolder, tempFolder } from '../support/temp-folder.ts'

const folder = makeTempFolder()
const out = join(folder, 'tiny-int8')

beforeAll(async () => {
  const form = ['--tensor-parallel-size', '2', '--quantization', 'int8']
  expect(await runBurrow(['shard', bundledModelFolder, '--out', out, ...form])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`burrow up --model ${out}`),
  })
})

afterAll(() => removeFolder(folder))

test('what burrow shard wrote is as it was written', async () => {
  expect(await runBurrow(['shard', '--verify', out])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('is as it was written'),
  })
})

test('it is served', async () => {
  const burrow = await RunningBurrow.start(['--model', out])
  const response = await burrow.post('/v1/chat/completions', {
    model: 'tiny-int8',
    messages: [{ role: 'user', content: '3+5=?' }],
    temperature: 0,
  })
  expect(await response.json()).toMatchObject({ choices: [{ message: { content: '3+5=8' } }] })
  await burrow.stop()
})

test('it is served in no other form', async () => {
  const other = ['--port', '0', '--home', tempFolder(), '--model', out, '--quantization', 'int4']
  const { code, stderr } = await runBurrow(['up', ...other])
  expect(code).toBe(1)
  expect(stderr.split('\n').filter((line) => line.startsWith('burrow:'))).toEqual([
    expect.stringMatching(/cannot be served with --quantization int4, but it has int8: leave/),
  ])
})

test('stopped by Ctrl-C while it waits, it says so and ends with 130', async () => {
  const busy = join(tempFolder(), 'busy')
  await withFolderLock(`${busy}.lock`, { onWait: () => {} }, async () => {
    const shard = new BurrowProcess(['shard', bundledModelFolder, '--out', busy])
    try {
      await shard.printed(/waiting for another process that converts to /)
      const ended = once(shard.child, 'close')
      shard.child.kill('SIGINT')
      expect(await ended).toEqual([130, null])
    } finally {
      await shard.kill()
    }
    expect(shard.output).toContain('burrow: stopped; the same command goes on where it was')
  })
})
