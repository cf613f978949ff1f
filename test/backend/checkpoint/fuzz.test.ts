/**
 * Mutated files of each format: each is refused with a clear error, or every tensor that still looks
 * like the original's has its values, unless the mutation hit that tensor's own bytes and the format has
 * no checksums.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { ggufConfigFields } from '../../../backend/checkpoint/gguf-config.ts'
import { GgufFile } from '../../../backend/checkpoint/gguf-file.ts'
import { SafetensorsFile } from '../../../backend/checkpoint/safetensors-file.ts'
import type { TensorFile } from '../../../backend/checkpoint/tensor-file.ts'
import { TorchFile } from '../../../backend/checkpoint/torch-file.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { checkpointFixture, readTensor } from '../../support/checkpoint-fixtures.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const mutations = 800
const readingMilliseconds = 1000

/** Whole numbers below `limit`, the same for the same seed (mulberry32). */
const randomSource =
  (seed: number) =>
  (limit: number): number => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit)
  }

type Random = ReturnType<typeof randomSource>

const hostile = [0n, 1n, 0x7fff_ffffn, 0xffff_ffffn, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]

/** @param places where the structure of the file is, rather than its numbers */
const mutate = (original: Buffer, random: Random, places: (random: Random) => number): Buffer => {
  const bytes = Buffer.from(original)
  const at = Math.min(places(random), bytes.length - 8)
  const length = 1 + random(16)
  switch (random(7)) {
    case 0:
      return bytes.subarray(0, random(2) === 0 ? at : random(bytes.length))
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
    case 2:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)])
    case 3:
      bytes.writeBigUInt64LE(hostile[random(hostile.length)] ?? 0n, at)
      return bytes
    case 4:
      bytes.copyWithin(at, places(random), places(random) + length)
      return bytes
    default:
      for (let i = random(3); i >= 0; i--) {
        const place = random(4) === 0 ? random(bytes.length) : places(random)
        const byte = Math.min(place, bytes.length - 1)
        bytes[byte] = bytes[byte]! ^ (1 << random(8))
      }
      return bytes
  }
}

type Format<File extends TensorFile> = {
  readonly fixture: string
  readonly open: (path: string) => Promise<File>
  /** Structure of the file: most mutations go there. */
  readonly places: (size: number) => (random: Random) => number
  /** Its tensors have checksums: none may be read that is not the original's. */
  readonly hasChecksums?: boolean
  /** What a consumer checks before it takes tensors as the model's. */
  readonly identity?: (file: File) => Promise<object>
}

const isEqual = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((value, i) => Object.is(value, b[i]))

type Outcome = { readonly refused: number; readonly read: number; readonly wrong: string[] }

const bytesPerValue: Readonly<Record<string, number>> = { F16: 2, F32: 4 }

const fuzz = async <File extends TensorFile>(format: Format<File>): Promise<Outcome> => {
  const original = readFileSync(checkpointFixture(format.fixture))
  const file = await format.open(checkpointFixture(format.fixture))
  const values = new Map<string, number[]>()
  for (const name of file.tensors.keys()) values.set(name, await readTensor(file, name))
  const identity = await format.identity?.(file)
  await file.close()

  const path = join(tempFolder(), 'fuzzed')
  const random = randomSource(42)
  const outcome = { refused: 0, read: 0, wrong: [] as string[] }
  const check = async (bytes: Buffer, mutated: File, index: number): Promise<void> => {
    const found = await format.identity?.(mutated)
    if (JSON.stringify(found) !== JSON.stringify(identity)) return
    for (const [name, { dtype, shape, offset }] of file.tensors) {
      const info = mutated.tensors.get(name)
      if (info?.dtype !== dtype || info.shape.join() !== shape.join()) continue
      const read = await readTensor(mutated, name)
      const numBytes = read.length * (bytesPerValue[dtype] ?? 0)
      const isTouched =
        bytes.compare(original, offset, offset + numBytes, offset, offset + numBytes) !== 0
      const isSame = isEqual(read, values.get(name) ?? [])
      const mayDiffer = isTouched && info.offset === offset && format.hasChecksums !== true
      if (!isSame && !mayDiffer) outcome.wrong.push(`${index} ${name}`)
    }
  }
  for (let index = 0; index < mutations; index++) {
    const bytes = mutate(original, random, format.places(original.length))
    if (bytes.equals(original)) continue
    writeFileSync(path, bytes)
    const started = performance.now()
    let mutated: File | undefined
    try {
      mutated = await format.open(path)
      await check(bytes, mutated, index)
      outcome.read++
    } catch (error) {
      if (!(error instanceof ModelFolderError)) throw error
      expect(error.message).toMatch(/^cannot use .*fuzzed: ./)
      outcome.refused++
    } finally {
      await mutated?.close()
    }
    if (performance.now() - started > readingMilliseconds) outcome.wrong.push(`${index} is slow`)
  }
  return outcome
}

/** Both kinds of outcome must be frequent, or the mutations test little. */
const expectSound = ({ refused, read, wrong }: Outcome): void => {
  expect(wrong).toEqual([])
  expect(refused).toBeGreaterThan(mutations / 4)
  expect(read).toBeGreaterThan(mutations / 100)
}

test('safetensors', async () => {
  expectSound(
    await fuzz({
      fixture: 'safetensors/model.safetensors',
      open: SafetensorsFile.open,
      places: () => (random) => random(random(8) === 0 ? 8 : 1300),
    }),
  )
})

test('GGUF', async () => {
  expectSound(
    await fuzz({
      fixture: 'gguf/tiny.gguf',
      open: GgufFile.open,
      // Half of them where the tensors are described.
      places: () => (random) => (random(2) === 0 ? random(3000) : 1750 + random(800)),
      identity: ggufConfigFields,
    }),
  )
})

/** Headers of the archive's entries, the pickle and the list of entries. */
const torchPlaces =
  (size: number) =>
  (random: Random): number =>
    random(2) === 0 ? random(2600) : size - 1 - random(1400)

test('PyTorch', async () => {
  expectSound(
    await fuzz({
      fixture: 'torch/pytorch_model.bin',
      open: TorchFile.open,
      places: torchPlaces,
      hasChecksums: true,
    }),
  )
})

/** The archive with another pickle of the same length, and the checksums of that. */
const withPickle = (original: Buffer, pickle: Buffer, at: number): Buffer => {
  const bytes = Buffer.from(original)
  const before = crc32(bytes.subarray(at, at + pickle.length))
  pickle.copy(bytes, at)
  const place = Buffer.alloc(4)
  place.writeUInt32LE(before)
  for (let i = bytes.indexOf(place); i >= 0; i = bytes.indexOf(place, i + 4)) {
    bytes.writeUInt32LE(crc32(pickle), i)
  }
  return bytes
}

test('pickles that are mutated under a right checksum read only what is in the file', async () => {
  const original = readFileSync(checkpointFixture('torch/pytorch_model.bin'))
  const at = original.indexOf(Buffer.from([0x80, 0x02, 0x63]))
  const length = original.indexOf(Buffer.from('PK\x07\x08', 'latin1'), at) - at
  const path = join(tempFolder(), 'fuzzed')
  const random = randomSource(43)
  const outcome = { refused: 0, read: 0, wrong: [] as string[] }
  for (let index = 0; index < mutations; index++) {
    const pickle = Buffer.from(original.subarray(at, at + length))
    for (let i = random(3); i >= 0; i--) pickle[random(length)] = random(256)
    writeFileSync(path, withPickle(original, pickle, at))
    let file: TorchFile | undefined
    try {
      file = await TorchFile.open(path)
      for (const [name, { dtype, shape }] of file.tensors) {
        if (!Object.hasOwn(bytesPerValue, dtype)) continue
        const numValues = shape.reduce((product, dim) => product * dim, 1)
        const { length } = await readTensor(file, name)
        if (length !== numValues) outcome.wrong.push(`${index} ${name}`)
      }
      outcome.read++
    } catch (error) {
      if (!(error instanceof ModelFolderError)) throw error
      expect(error.message).toMatch(/^cannot use .*fuzzed: ./)
      outcome.refused++
    } finally {
      await file?.close()
    }
  }
  expectSound(outcome)
})
