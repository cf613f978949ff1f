/** What `--out` may be, and what is said where it cannot. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { tellFullDisk } from '../../../backend/conversion/full-disk.ts'
import { verifyConversion } from '../../../backend/conversion/verify.ts'
import { runInPool } from '../../../backend/conversion/worker-pool.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { TinyLlama } from '../graph/tiny-llama.ts'

const folders = () => {
  const root = tempFolder()
  const checkpoint = join(root, 'model')
  mkdirSync(checkpoint)
  new TinyLlama().write(checkpoint)
  return { root, checkpoint, out: join(root, 'out') }
}

test('a link is followed, and stays one', async () => {
  const { root, checkpoint, out } = folders()
  const real = join(root, 'large-disk', 'real')
  symlinkSync(real, out)
  await expect(convertModel(checkpoint, out)).rejects.toThrow(
    'it is a link to a folder that is not',
  )
  mkdirSync(real, { recursive: true })
  await convertModel(checkpoint, out)
  expect(lstatSync(out).isSymbolicLink()).toBe(true)
  await verifyConversion(real)
  expect(readdirSync(join(root, 'large-disk'))).toEqual(['real'])
  expect(existsSync(`${out}.lock`)).toBe(false)
})

test('a file and a mount point are refused before anything is done', async () => {
  const { root, checkpoint, out } = folders()
  writeFileSync(out, 'ten years')
  await expect(convertModel(checkpoint, out)).rejects.toThrow('it is a file, not a folder')
  expect(readFileSync(out, 'utf8')).toBe('ten years')
  await expect(convertModel(checkpoint, '/proc')).rejects.toThrow(
    'cannot use /proc: it is a mount point: name a folder inside it',
  )
  expect(readdirSync(root).toSorted()).toEqual(['model', 'out'])
})

test('a disk that is full in the middle is told, also by a thread', async () => {
  const thread = `import { parentPort } from 'node:worker_threads'
    import { writeFileSync } from 'node:fs'
    parentPort.on('message', () => writeFileSync('/dev/full', 'x'))`
  const script = new URL(`data:text/javascript,${encodeURIComponent(thread)}`)
  const said = 'no room left on the disk of /disk: free some; the same command goes on'
  const inThread = () => runInPool({ script, jobs: [1], onAnswer: () => {} })
  await expect(tellFullDisk('/disk', inThread)).rejects.toThrow(said)
  const here = async () => writeFileSync('/dev/full', 'x')
  await expect(tellFullDisk('/disk', here)).rejects.toThrow(said)
  const other = async () => writeFileSync('/nowhere/x', 'x')
  await expect(tellFullDisk('/disk', other)).rejects.toThrow('ENOENT')
})
