/** The graph's external data: one file with all weights as float32, each at its own place. */
import { open, type FileHandle } from 'node:fs/promises'
import type { Checkpoint } from '../checkpoint/checkpoint.ts'
import type { ModelConfig } from '../checkpoint/config.ts'
import type { Initializer } from '../onnx/model.ts'
import { rotaryTable } from './rotary.ts'
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

async function* piecesOf(
  weight: Weight,
  config: ModelConfig,
  checkpoint: Checkpoint,
): AsyncGenerator<Float32Array, void> {
  if (typeof weight.source === 'string') {
    yield* rotaryTable(config, weight.source)
    return
  }
  for (const { name } of weight.source) yield* checkpoint.readFloat32(name)
}

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

/**
 * Streams the weights from the checkpoint into the file; a few MiB are in memory at a time.
 * @returns the file's size in bytes
 * @throws ModelFolderError for a tensor that is missing, has another shape or cannot be read
 */
export const writeWeights = async (
  path: string,
  weights: readonly PlacedWeight[],
  config: ModelConfig,
  checkpoint: Checkpoint,
): Promise<number> => {
  for (const { source } of weights) {
    if (typeof source === 'string') continue
    for (const tensor of source) checkpoint.requireTensor(tensor.name, tensor.shape)
  }
  const file = await open(path, 'wx')
  try {
    let end = 0
    for (const weight of weights) {
      end = weight.offset
      for await (const piece of piecesOf(weight, config, checkpoint)) {
        await writeFully(file, piece, end)
        end += piece.byteLength
      }
    }
    await file.sync()
    return end
  } finally {
    await file.close()
  }
}
