import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fillGaps, parseChecksums } from '../../../backend/conversion/checksums.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { verifyConversion } from '../../../backend/conversion/verify.ts'
import { formatVersion, readManifest } from '../../../backend/graph/manifest.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { randomSource } from '../graph/random-source.ts'
import { TinyLlama } from '../graph/tiny-llama.ts'
import { smallPieces } from './small-pieces.ts'

const converted = async (): Promise<string> => {
  const folder = tempFolder()
  const checkpoint = join(folder, 'model')
  mkdirSync(checkpoint)
  new TinyLlama().write(checkpoint)
  const out = join(folder, 'graph')
  await convertModel(checkpoint, out, smallPieces)
  return out
}

const dropChecksums = (out: string, name: string): void => {
  const path = join(out, 'checksums.txt')
  const lines = readFileSync(path, 'utf8').split('\n')
  writeFileSync(path, lines.filter((line) => !line.endsWith(` ${name}`)).join('\n'))
}

test('graphs that came later, for a cache of int8, are no part of it', async () => {
  const out = await converted()
  for (const name of ['int8-cache.json', 'model.int8-cache.onnx'])
    writeFileSync(join(out, name), '')
  expect(await verifyConversion(out)).toBeGreaterThan(1e5)
})

test.each<[string, (path: string) => void, string]>([
  ['has no end', (path) => symlinkSync('/dev/zero', path), 'it is no file'],
  [
    'is for more ranks than there can be',
    (path) =>
      writeFileSync(
        path,
        JSON.stringify({ formatVersion, fingerprint: 'x', tensorParallelSize: 257 }),
      ),
    'tensorParallelSize must be 256 at most',
  ],
])('a manifest that %s is refused', (_name, write, message) => {
  const folder = tempFolder()
  write(join(folder, 'manifest.json'))
  expect(() => readManifest(folder)).toThrow(message)
})

test('a conversion is found as it was written, and any byte that is another is found', async () => {
  const out = await converted()
  expect(await verifyConversion(out)).toBeGreaterThan(1e5)
  const random = randomSource(7)
  for (const name of readdirSync(out)) {
    const bytes = readFileSync(join(out, name))
    const at = Math.floor(((random() + 1) / 2) * bytes.length)
    // Of checksums.txt itself, a digit of some checksum.
    const place = name === 'checksums.txt' ? bytes.indexOf('\n') + 1 : at
    const damaged = Buffer.from(bytes)
    damaged[place] = (damaged[place] ?? 0) ^ (name === 'checksums.txt' ? 1 : 0x40)
    writeFileSync(join(out, name), damaged)
    await expect(verifyConversion(out), name).rejects.toThrow(
      name === 'checksums.txt' ? /cannot use/ : `${name}: its bytes `,
    )
    writeFileSync(join(out, name), bytes)
  }
  expect(await verifyConversion(out, { tuning: { minThreadedBytes: 0 } })).toBeGreaterThan(1e5)
})

test.each<[string, (out: string) => void, RegExp]>([
  ['is missing', (out) => rmSync(join(out, 'weights.bin')), /weights.bin: ENOENT/],
  [
    'is shorter',
    (out) => truncateSync(join(out, 'weights.bin'), 5000),
    /weights.bin: it has 5000 bytes, but \d+ were written/,
  ],
  [
    'is too many',
    (out) => writeFileSync(join(out, 'thesis.txt'), ''),
    /thesis.txt: it is not of the converted model/,
  ],
  [
    'says nothing',
    (out) => rmSync(join(out, 'checksums.txt')),
    /graph: it has no checksums.txt, .* convert it with `burrow shard`/,
  ],
  [
    'has no checksum, the manifest',
    (out) => dropChecksums(out, 'manifest.json'),
    /checksums.txt: it has no checksum of manifest.json: convert/,
  ],
  [
    'has no checksum, a graph',
    (out) => dropChecksums(out, 'model.onnx'),
    /checksums.txt: it has no checksum of model.onnx|model.onnx: it is not of/,
  ],
  [
    'has no checksum and is not there, the weights',
    (out) => {
      dropChecksums(out, 'weights.bin')
      rmSync(join(out, 'weights.bin'))
    },
    /checksums.txt: it has no checksum of weights.bin: convert/,
  ],
  [
    'is empty, the checksums',
    (out) => truncateSync(join(out, 'checksums.txt')),
    /checksums.txt: it is cut off/,
  ],
  [
    'is cut off, the checksums',
    (out) => {
      const path = join(out, 'checksums.txt')
      truncateSync(path, statSync(path).size - 1)
    },
    /checksums.txt: it is cut off/,
  ],
  [
    'has no end, the checksums',
    (out) => {
      rmSync(join(out, 'checksums.txt'))
      symlinkSync('/dev/zero', join(out, 'checksums.txt'))
    },
    /checksums.txt: it is no file/,
  ],
  [
    'belongs to the weights of another rank',
    (out) => writeFileSync(join(out, 'rank-1.weights.bin'), ''),
    /rank-1.weights.bin: it is not of the converted model/,
  ],
])('a file that %s is told', async (_name, change, message) => {
  const out = await converted()
  change(out)
  await expect(verifyConversion(out)).rejects.toThrow(message)
})

test('ranges that leave a gap or overlap are refused', () => {
  const hash = 'a'.repeat(64)
  const parse = (text: string) => () => parseChecksums('checksums.txt', text)
  expect(parse(`${hash} 0 4 a.bin\nzeros 4 4 a.bin\n`)()).toEqual([
    { name: 'a.bin', offset: 0, numBytes: 4, sha256: hash },
    { name: 'a.bin', offset: 4, numBytes: 4, sha256: null },
  ])
  expect(parse(`${hash} 4 4 a.bin\n`)).toThrow('line 1 does not go on where a.bin ended')
  expect(parse(`${hash} 0 4 a.bin\n${hash} 2 4 a.bin\n`)).toThrow('line 2 does not go on')
  expect(parse(`${hash} 0 4 ../a.bin\n`)).toThrow('line 1 is no checksum')
  const range = { offset: 2, numBytes: 4, sha256: hash }
  expect(() => fillGaps('a.bin', 9, [range, { ...range, offset: 5 }])).toThrow('overlap')
})
