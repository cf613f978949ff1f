/** A folder for one test file, deleted afterwards. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

export const makeTempFolder = (): string => mkdtempSync(join(tmpdir(), 'burrow-test-'))

export const removeFolder = (folder: string): void =>
  rmSync(folder, { recursive: true, force: true })

/** For the running test only. */
export const tempFolder = (): string => {
  const folder = makeTempFolder()
  onTestFinished(() => removeFolder(folder))
  return folder
}
