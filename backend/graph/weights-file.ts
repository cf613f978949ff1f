/**
 * The graphs' external data: one file a rank with all its weights, each at its own place. The checkpoint
 * is read once, however many ranks there are.
 */
import { open, type FileHandle } from 'node:fs/promises'
import type { Checkpoint } from '../checkpoint/checkpoint.ts'
import type { ModelConfig } from '../checkpoint/config.ts'
import type { Initializer } from '../onnx/model.ts'
import { dataTypes } from '../onnx/data-type.ts'
import { encodeRows } from './encode-weights.ts'
import { rotaryTable, type RotaryTable } from './rotary.ts'
import { rangeLength } from './shard-plan.ts'
import { cut, partOf, wholePart, type TensorPart } from './tensor-part.ts'
import { storedTensors, type StoredTensor } from './weight-format.ts'
import type { Weight } from './weights.ts'

/** ONNX Runtime maps external data into memory, which goes by whole pages. */
const alignment = 4096

export type PlacedTensor = StoredTensor & { readonly offset: number; readonly numBytes: number }

/** A weight with what is stored of it: its values, or its codes and scales. */
export type PlacedWeight = Weight & { readonly tensors: readonly PlacedTensor[] }

/** Where each weight lies in the file: known before any of them is read. */
export const placeWeights = (weights: readonly Weight[]): PlacedWeight[] => {
  let end = 0
  const place = (tensor: StoredTensor): PlacedTensor => {
    const offset = Math.ceil(end / alignment) * alignment
    const { bytes } = dataTypes[tensor.type]
    const numBytes = tensor.dims.reduce((product, dim) => product * dim, bytes)
    end = offset + numBytes
    return { ...tensor, offset, numBytes }
  }
  return weights.map((weight) => ({
    ...weight,
    tensors: storedTensors(weight.name, weight.dims, weight.encoding).map(place),
  }))
}

/** The initialisers of the placed weights; `location` is the file's name beside the model. */
export const externalInitializers = (
  weights: readonly PlacedWeight[],
  location: string,
): Initializer[] =>
  weights.flatMap(({ tensors }) =>
    tensors.map(({ name, dims, type, offset, numBytes }) => ({
      name,
      dims,
      type,
      data: { location, offset, numBytes },
    })),
  )

/** The weights of one rank and the file that they go to. */
export type WeightsFile = { readonly path: string; readonly weights: readonly PlacedWeight[] }

/** The bytes of a file with these weights. */
export const weightsFileBytes = (weights: readonly PlacedWeight[]): number =>
  weights
    .flatMap(({ tensors }) => tensors)
    .reduce((end, { offset, numBytes }) => Math.max(end, offset + numBytes), 0)

const writeFully = async (file: FileHandle, bytes: Uint8Array, position: number): Promise<void> => {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

/** Where a part of a tensor goes: into the rows of a stored weight from `firstRow` on. */
type Target = {
  readonly file: FileHandle
  readonly weight: PlacedWeight
  readonly firstRow: number
  readonly part: TensorPart
}

/** Targets by the tensor that they are parts of. */
const groupTargets = (files: readonly (readonly [FileHandle, WeightsFile])[]) => {
  const tensors = new Map<string, { shape: readonly number[]; targets: Target[] }>()
  const tables = new Map<RotaryTable, Target[]>()
  for (const [file, { weights }] of files) {
    for (const weight of weights) {
      const { source, dims } = weight
      if (typeof source === 'string') {
        const targets = tables.get(source) ?? []
        tables.set(source, targets)
        targets.push({ file, weight, firstRow: 0, part: wholePart(dims) })
        continue
      }
      let firstRow = 0
      for (const tensor of source) {
        const known = tensors.get(tensor.name) ?? { shape: tensor.shape, targets: [] }
        tensors.set(tensor.name, known)
        const part = partOf(tensor)
        known.targets.push({ file, weight, firstRow, part })
        firstRow += rangeLength(part.rows)
      }
    }
  }
  return { tensors, tables }
}

/** @param values whole rows of the weight, from its row `row` on */
const writeRows = async (
  file: FileHandle,
  { tensors, encoding, dims }: PlacedWeight,
  row: number,
  values: Float32Array,
): Promise<void> => {
  const { data, scales } = encodeRows(values, dims[1] ?? 1, encoding)
  const stored = scales === null ? [data] : [data, new Uint8Array(scales.buffer)]
  for (const [index, bytes] of stored.entries()) {
    const tensor = tensors[index]
    if (tensor === undefined) throw new Error('a weight has more parts than places')
    const rowBytes = tensor.numBytes / (dims[0] ?? 1)
    await writeFully(file, bytes, tensor.offset + row * rowBytes)
  }
}

const writeTargets = async (
  pieces: AsyncIterable<Float32Array> | Iterable<Float32Array>,
  targets: readonly Target[],
): Promise<void> => {
  let first = 0
  for await (const piece of pieces) {
    for (const { file, weight, firstRow, part } of targets) {
      const { values, position } = cut(piece, first, part)
      // Pieces are whole rows of the tensor, so these are whole rows of its part.
      const row = firstRow + position / rangeLength(part.columns)
      if (values.length > 0) await writeRows(file, weight, row, values)
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
