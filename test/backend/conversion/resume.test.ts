/** Conversions that are interrupted, by whatever, and go on. */
import { execFile } from 'node:child_process'
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { convertModel, type ConvertOptions } from '../../../backend/conversion/convert.ts'
import { openPartialFolder } from '../../../backend/conversion/partial-folder.ts'
import type { Progress } from '../../../backend/conversion/progress.ts'
import { verifyConversion } from '../../../backend/conversion/verify.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { TinyLlama } from '../graph/tiny-llama.ts'
import { folderHashes } from './folder-hashes.ts'
import { smallPieces, threadedPieces } from './small-pieces.ts'

const folders = () => {
  const root = tempFolder()
  const checkpoint = join(root, 'model')
  mkdirSync(checkpoint)
  new TinyLlama().write(checkpoint)
  const parent = join(root, 'cache')
  return { checkpoint, parent, out: join(parent, 'graph'), whole: join(root, 'whole') }
}

/** What the first report says, before anything is done. */
const convertAndTellStart = async (
  checkpoint: string,
  out: string,
  options: ConvertOptions = smallPieces,
): Promise<Progress> => {
  const reports: Progress[] = []
  await convertModel(checkpoint, out, { ...options, onProgress: (report) => reports.push(report) })
  const [first] = reports
  if (first === undefined) throw new Error('no progress was told')
  expect(reports.at(-1)?.doneBytes).toBe(first.totalBytes)
  return first
}

/** Stops after so many pieces by an AbortSignal. */
const stopAfter = async (checkpoint: string, out: string, numPieces: number): Promise<void> => {
  const stop = new AbortController()
  let left = numPieces
  const onProgress = () => {
    left -= 1
    if (left < 0) stop.abort()
  }
  const work = convertModel(checkpoint, out, { ...smallPieces, onProgress, signal: stop.signal })
  await expect(work).rejects.toThrow('aborted')
}

test('killed at any moment, again and again, a conversion goes on to the same bytes', async () => {
  const { checkpoint, parent, out, whole } = folders()
  await convertModel(checkpoint, whole, smallPieces)
  const script = fileURLToPath(new URL('./convert-process.ts', import.meta.url))
  for (const killAfter of [2, 30, 50]) {
    const run = promisify(execFile)(process.execPath, [script, checkpoint, out, String(killAfter)])
    await expect(run).rejects.toMatchObject({ signal: 'SIGKILL' })
    expect(existsSync(out)).toBe(false)
  }
  expect(readdirSync(parent).toSorted()).toEqual(['graph.lock', 'graph.partial'])
  const { resumedBytes = 0, totalBytes } = await convertAndTellStart(
    checkpoint,
    out,
    threadedPieces,
  )
  expect(resumedBytes).toBeGreaterThan(0)
  expect(resumedBytes).toBeLessThan(totalBytes)
  expect(readdirSync(parent)).toEqual(['graph'])
  expect(folderHashes(out)).toEqual(folderHashes(whole))
  await verifyConversion(out)
})

test('stopped by its signal, a conversion has all that was done in its journal', async () => {
  const { checkpoint, parent, out, whole } = folders()
  await convertModel(checkpoint, whole, smallPieces)
  await stopAfter(checkpoint, out, 20)
  expect(readdirSync(parent)).toEqual(['graph.partial'])
  const lines = readFileSync(join(`${out}.partial`, 'journal.jsonl'), 'utf8').split('\n')
  expect(lines.length).toBeGreaterThan(20)
  expect((await convertAndTellStart(checkpoint, out)).resumedBytes).toBeGreaterThan(0)
  expect(folderHashes(out)).toEqual(folderHashes(whole))
})

const ending = ['model.onnx', 'checksums.txt', 'manifest.json'] as const

/** What a kill among the last steps leaves, from the partial folder after its last piece on. */
test.each<[string, (partial: string, whole: string) => void]>([
  ['after the last piece', () => {}],
  [
    'while graphs are written',
    (partial) => writeFileSync(join(partial, 'model.onnx'), 'half of one'),
  ],
  [
    'before the checksums',
    (partial, whole) => copyFileSync(join(whole, 'model.onnx'), join(partial, 'model.onnx')),
  ],
  [
    'while the manifest is written',
    (partial, whole) => {
      for (const name of ending.slice(0, 2)) copyFileSync(join(whole, name), join(partial, name))
      writeFileSync(join(partial, 'manifest.json.tmp'), '{')
    },
  ],
  [
    'before the journal goes',
    (partial, whole) => {
      for (const name of ending) copyFileSync(join(whole, name), join(partial, name))
    },
  ],
  [
    'before anything but the manifest is on disk',
    (partial, whole) => {
      copyFileSync(join(whole, 'manifest.json'), join(partial, 'manifest.json'))
      writeFileSync(join(partial, 'model.onnx'), '')
    },
  ],
  [
    'when the journal is gone',
    (partial, whole) => {
      rmSync(partial, { recursive: true })
      cpSync(whole, partial, { recursive: true })
    },
  ],
  [
    'when the journal is gone, and the disk lost a graph',
    (partial, whole) => {
      rmSync(partial, { recursive: true })
      cpSync(whole, partial, { recursive: true })
      truncateSync(join(partial, 'model.onnx'))
    },
  ],
])('killed %s, a conversion ends whole all the same', async (_name, change) => {
  const { checkpoint, parent, out, whole } = folders()
  const last = `${whole}-last`
  const onProgress = ({ doneBytes, totalBytes }: Progress) => {
    if (doneBytes === totalBytes) cpSync(`${whole}.partial`, last, { recursive: true })
  }
  await convertModel(checkpoint, whole, { ...smallPieces, onProgress })
  expect(readdirSync(last).toSorted()).toEqual(['journal.jsonl', 'weights.bin'])
  cpSync(last, `${out}.partial`, { recursive: true })
  change(`${out}.partial`, whole)
  await convertModel(checkpoint, out, smallPieces)
  expect(readdirSync(parent)).toEqual(['graph'])
  expect(folderHashes(out)).toEqual(folderHashes(whole))
  await verifyConversion(out)
})

test('a line that was not written whole, and what is behind it, counts for nothing', async () => {
  const { checkpoint, out, whole } = folders()
  await convertModel(checkpoint, whole, smallPieces)
  await stopAfter(checkpoint, out, 20)
  const journal = join(`${out}.partial`, 'journal.jsonl')
  const [head, first, second = '', ...rest] = readFileSync(journal, 'utf8').split('\n')
  writeFileSync(journal, [head, first, second.slice(0, 40), ...rest].join('\n'))
  await stopAfter(checkpoint, out, 0)
  appendFileSync(journal, '{"id":3,"ran')
  expect((await convertAndTellStart(checkpoint, out)).resumedBytes).toBeGreaterThan(0)
  expect(folderHashes(out)).toEqual(folderHashes(whole))
})

test.each<[string, (paths: ReturnType<typeof folders>) => ConvertOptions]>([
  [
    'the weights are others',
    ({ checkpoint }) => {
      utimesSync(join(checkpoint, 'model.safetensors'), 9, 9)
      return smallPieces
    },
  ],
  [
    'the form is another',
    () => ({ ...smallPieces, format: { dtype: 'float16', quantization: 'none' } }),
  ],
  [
    'its pieces are cut at other places',
    () => ({ ...smallPieces, tuning: { ...smallPieces.tuning, valuesPerPiece: 1025 } }),
  ],
  [
    'its files are cut off',
    ({ out }) => {
      writeFileSync(join(`${out}.partial`, 'weights.bin'), 'half')
      return smallPieces
    },
  ],
  [
    'its journal is no journal',
    ({ out }) => {
      writeFileSync(join(`${out}.partial`, 'journal.jsonl'), 'yes\n')
      return smallPieces
    },
  ],
])('an interrupted conversion begins anew when %s', async (_name, change) => {
  const paths = folders()
  const { checkpoint, parent, out, whole } = paths
  await stopAfter(checkpoint, out, 20)
  const options = change(paths)
  expect((await convertAndTellStart(checkpoint, out, options)).resumedBytes).toBe(0)
  expect(readdirSync(parent)).toEqual(['graph'])
  await convertModel(checkpoint, whole, options)
  expect(folderHashes(out)).toEqual(folderHashes(whole))
})

test('a folder of somebody else that has the name of the partial one stays as it is', async () => {
  const { checkpoint, out } = folders()
  mkdirSync(`${out}.partial`, { recursive: true })
  writeFileSync(join(`${out}.partial`, 'thesis.txt'), 'ten years')
  await expect(convertModel(checkpoint, out)).rejects.toThrow('it holds thesis.txt')
  expect(readFileSync(join(`${out}.partial`, 'thesis.txt'), 'utf8')).toBe('ten years')
})

test('a disk without room is told before anything is written, with the numbers', async () => {
  const folder = tempFolder()
  const partial = join(folder, 'graph.partial')
  const outputs = [{ name: 'weights.bin', numBytes: 2 ** 50 }]
  await expect(
    openPartialFolder(partial, { fingerprint: 'x', numPieces: 1, valuesPerPiece: 1 }, outputs),
  ).rejects.toThrow(/it has no room: the converted model takes 1024 TiB, but only \S+ \S+ are free/)
  expect(readdirSync(folder)).toEqual([])
})
