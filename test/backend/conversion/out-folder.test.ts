/** What `--out` may be, and what is said where it cannot. */
import { spawnSync } from 'node:child_process'
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
import { mountPoints } from '../../../backend/conversion/out-folder.ts'
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
    'cannot use /proc: it is a mount point: name a folder inside it, such as /proc/model',
  )
  expect(readdirSync(root).toSorted()).toEqual(['model', 'out'])
})

/** Where anybody may have mounts of their own. */
const canMount = spawnSync('unshare', ['-Urm', 'true']).status === 0

test.runIf(canMount)('a folder bound from the same disk is refused before anything is done', () => {
  const { root, checkpoint, out } = folders()
  const [real, place] = [join(root, 'real'), join(root, 'two words')]
  mkdirSync(real)
  mkdirSync(place)
  symlinkSync(place, out)
  const convert = new URL('../../../backend/conversion/convert.ts', import.meta.url)
  const script = `import { convertModel } from ${JSON.stringify(convert.href)}
    await convertModel(...process.argv.slice(1)).catch((error) => console.log(error.message))`
  const inside = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
  const node = [process.execPath, '--input-type=module', '-e', script, checkpoint, out]
  const { stdout, stderr } = spawnSync(
    'unshare',
    ['-Urm', 'sh', '-c', inside, 'sh', real, place, ...node],
    { encoding: 'utf8' },
  )
  expect([stdout, stderr]).toEqual([
    `cannot use ${place}: it is a mount point: name a folder inside it, such as ${join(place, 'model')}\n`,
    '',
  ])
  expect(readdirSync(root).toSorted()).toEqual(['model', 'out', 'real', 'two words'])
  expect(readdirSync(real)).toEqual([])
})

test('mount points are found in the table of the system', () => {
  const table = [
    '22 27 0:21 / /proc rw,relatime - proc proc rw',
    '40 27 8:1 /var/models /data/my\\040models\\134x rw shared:1 - ext4 /dev/sda1 rw',
  ].join('\n')
  expect([...mountPoints(table)]).toEqual(['/proc', '/data/my models\\x'])
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
