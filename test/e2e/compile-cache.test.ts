import { execFileSync } from 'node:child_process'
import { chmodSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { tempFolder } from '../support/temp-folder.ts'

/** Prints where this process, and a thread of it, keep what they compile. */
const script = `
import { getCompileCacheDir } from 'node:module'
import { Worker } from 'node:worker_threads'
import { keepCompiled } from './compile-cache.js'
keepCompiled()
const own = getCompileCacheDir()
const source = 'import m from "node:module"; import w from "node:worker_threads"; w.parentPort.postMessage(m.getCompileCacheDir() ?? null)'
new Worker(source, { eval: true }).on('message', (threads) => console.log(JSON.stringify([own ?? null, threads])))
`

const run = (env: Readonly<Record<string, string>>): (string | null)[] => {
  // The script is found beside burrow.js.
  const cwd = fileURLToPath(new URL('../..', import.meta.url))
  const options = { env: { PATH: process.env.PATH, ...env }, encoding: 'utf8', cwd } as const
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', script], options))
}

test('what is compiled is kept by threads as by the process', () => {
  const folder = tempFolder()
  const [own, threads] = run({ TMPDIR: folder })
  expect(own?.startsWith(folder)).toBe(true)
  expect(threads).toBe(own)
})

test('a folder that others may write to, or that is none, is not used', () => {
  const folder = tempFolder()
  run({ TMPDIR: folder })
  const [name = ''] = readdirSync(folder)
  chmodSync(join(folder, name), 0o777)
  expect(run({ TMPDIR: folder })).toEqual([null, null])
  rmSync(join(folder, name), { recursive: true })
  symlinkSync(tempFolder(), join(folder, name))
  expect(run({ TMPDIR: folder })).toEqual([null, null])
  expect(run({ TMPDIR: fileURLToPath(import.meta.url) })).toEqual([null, null])
})

test('the operator may say where, or that it is not', () => {
  const folder = tempFolder()
  const [own, threads] = run({ NODE_COMPILE_CACHE: folder })
  expect(own?.startsWith(folder)).toBe(true)
  expect(threads).toBe(own)
  expect(run({ NODE_DISABLE_COMPILE_CACHE: '1', TMPDIR: folder })).toEqual([null, null])
})
