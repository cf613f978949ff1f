/** What earlier versions left beside a conversion that was killed. */
import { mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { TinyLlama } from '../graph/tiny-llama.ts'

const dayBefore = new Date(Date.now() - 25 * 60 * 60 * 1000)

/** A folder whose files were written then. */
const makeFolder = (path: string, files: readonly string[], writtenAt: Date): void => {
  mkdirSync(path)
  for (const name of files) {
    writeFileSync(join(path, name), '')
    utimesSync(join(path, name), writtenAt, writtenAt)
  }
  utimesSync(path, dayBefore, dayBefore)
}

test('its folders are removed with the next conversion, and nothing else', async () => {
  const [model, root] = [tempFolder(), tempFolder()]
  new TinyLlama().write(model)
  const own = ['weights.bin', 'model.onnx', 'rank-1.segment-2.onnx', 'rank-1.weights.bin']
  makeFolder(join(root, 'out.tmp-aB3dE6'), own, dayBefore)
  makeFolder(join(root, 'out.tmp-x0x0x0-old'), ['manifest.json', 'weights.bin'], dayBefore)
  makeFolder(join(root, 'out.tmp-empty1'), [], dayBefore)
  // Somebody writes there still.
  makeFolder(join(root, 'out.tmp-young1'), own, new Date())
  makeFolder(join(root, 'out.tmp-notes1'), ['weights.bin', 'notes.txt'], dayBefore)
  makeFolder(join(root, 'out.tmp-backup-of-mine'), ['weights.bin'], dayBefore)
  makeFolder(join(root, 'other.tmp-aB3dE6'), own, dayBefore)
  makeFolder(join(root, 'real'), own, dayBefore)
  symlinkSync(join(root, 'real'), join(root, 'out.tmp-linked'))
  await convertModel(model, join(root, 'out'))
  expect(readdirSync(root).toSorted()).toEqual([
    'other.tmp-aB3dE6',
    'out',
    'out.tmp-backup-of-mine',
    'out.tmp-linked',
    'out.tmp-notes1',
    'out.tmp-young1',
    'real',
  ])
  expect(readdirSync(join(root, 'real'))).toHaveLength(4)
})
