import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { withFolderLock } from '../../../backend/conversion/folder-lock.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const quiet = { onWait: () => {} }

test('a lock whose file is gone ends without an error', async () => {
  const folder = tempFolder()
  const path = join(folder, 'out.lock')
  expect(
    await withFolderLock(path, quiet, async () => {
      rmSync(path)
      return 'done'
    }),
  ).toBe('done')
  expect(readdirSync(folder)).toEqual([])
})

test('a lock that took the name of another one is not removed with it', async () => {
  const path = join(tempFolder(), 'out.lock')
  const second = Promise.withResolvers<void>()
  let other: Promise<void> | undefined
  await withFolderLock(path, quiet, async () => {
    rmSync(path)
    const begun = Promise.withResolvers<void>()
    other = withFolderLock(path, quiet, async () => {
      begun.resolve()
      await second.promise
    })
    await begun.promise
  })
  expect(existsSync(path)).toBe(true)
  second.resolve()
  await other
  expect(existsSync(path)).toBe(false)
})

test('a place that cannot be written to is named, with what to do', async () => {
  const folder = tempFolder()
  mkdirSync(join(folder, 'out.lock'))
  const work = withFolderLock(join(folder, 'out.lock'), quiet, async () => {})
  await expect(work).rejects.toThrow(
    /^cannot write beside \S+\/out: \S+\/out.lock cannot be locked .+ make its folder writable/,
  )
})
