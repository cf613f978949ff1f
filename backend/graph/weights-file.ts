/**
 * The graphs' external data: one file a rank with all its weights as float32, each at its own place. The
 * checkpoint is read once, however many ranks there are.
 */
import { open, type FileHandle } from 'node:fs/promises'
import type { Checkpoint } from '../checkpoint/checkpoint.ts'
import type { ModelConfig } from '../checkpoint/config.ts'
import type { Initializer } from '../onnx/model.ts'
import { rotaryTable, type RotaryTable } from './rotary.ts'
import { cut, partLength, partOf, wholePart, type TensorPart } from './tensor-part.ts'
import type { Weight } from './weights.ts'

/** ONNX Runtime maps external data into memory, which goes by whole pages. */
const alignment = 4096

const bytesPerElement = 4

export type PlacedWeight = Weight & { readonly offset: number; readonly numBytes: number }

/** Where each weight lies in the file: known before any of them is read. */
export const placeWeights = (weights: readonly Weight[]): PlacedWeight[] => {
  let end = 0
  return weights.map((weight) => {
    const offset = Math.ceil(end / alignment) * alignment
    const numBytes = weight.dims.reduce((product, dim) => product * dim, bytesPerElement)
    end = offset + numBytes
    return { ...weight, offset, numBytes }
  })
}

/** The initialisers of the placed weights; `location` is the file's name beside the model. */
export const externalInitializers = (
  weights: readonly PlacedWeight[],
  location: string,
): Initializer[] =>
  weights.map(({ name, dims, offset, numBytes }) => ({
    name,
    dims,
    type: 'float32',
    data: { location, offset, numBytes },
  }))

/** The weights of one rank and the file that they go to. */
export type WeightsFile = { readonly path: string; readonly weights: readonly PlacedWeight[] }

/** The bytes of a file with these weights. */
export const weightsFileBytes = (weights: readonly PlacedWeight[]): number =>
  Math.max(0, ...weights.map(({ offset, numBytes }) => offset + numBytes))

const writeFully = async (
  file: FileHandle,
  piece: Float32Array,
  position: number,
): Promise<void> => {
  const bytes = new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

/** Where a part of a tensor goes: `offset` bytes into the file. */
type Target = { readonly file: FileHandle; readonly offset: number; readonly part: TensorPart }

/** Targets by the tensor that they are parts of. */
const groupTargets = (files: readonly (readonly [FileHandle, WeightsFile])[]) => {
  const tensors = new Map<string, { shape: readonly number[]; targets: Target[] }>()
  const tables = new Map<RotaryTable, Target[]>()
  for (const [file, { weights }] of files) {
    for (const { source, offset, dims } of weights) {
      if (typeof source === 'string') {
        const targets = tables.get(source) ?? []
        tables.set(source, targets)
        targets.push({ file, offset, part: wholePart(dims) })
        continue
      }
      let end = offset
      for (const tensor of source) {
        const known = tensors.get(tensor.name) ?? { shape: tensor.shape, targets: [] }
        tensors.set(tensor.name, known)
        const part = partOf(tensor)
        known.targets.push({ file, offset: end, part })
        end += partLength(part) * bytesPerElement
      }
    }
  }
  return { tensors, tables }
}

const writeTargets = async (
  pieces: AsyncIterable<Float32Array> | Iterable<Float32Array>,
  targets: readonly Target[],
): Promise<void> => {
  let first = 0
  for await (const piece of pieces) {
    for (const { file, offset, part } of targets) {
      const { values, position } = cut(piece, first, part)
      await writeFully(file, values, offset + position * bytesPerElement)
    }
    first += piece.length
  }
}

/**
 * Streams the weights from the checkpoint into the files; a few MiB are in memory at a time.
 * @returns the files' size together, in bytes
 * @throws ModelFolderError for a tensor that is missing, has another shape or cannot be read
 */
export const writeWeights = async (
  all: readonly WeightsFile[],
  config: ModelConfig,
  checkpoint: Checkpoint,
): Promise<number> => {
  const files: (readonly [FileHandle, WeightsFile])[] = []
  try {
    let numBytes = 0
    for (const weightsFile of all) {
      const file = await open(weightsFile.path, 'wx')
      files.push([file, weightsFile])
      const size = weightsFileBytes(weightsFile.weights)
      await file.truncate(size)
      numBytes += size
    }
    const { tensors, tables } = groupTargets(files)
    for (const [name, { shape }] of tensors) checkpoint.requireTensor(name, shape)
    for (const [table, targets] of tables) await writeTargets(rotaryTable(config, table), targets)
    for (const [name, { targets }] of tensors) {
      await writeTargets(checkpoint.readFloat32(name), targets)
    }
    for (const [file] of files) await file.sync()
    return numBytes
  } finally {
    for (const [file] of files) await file.close()
  }
}
