/** The graphs' external data: one file a rank with all its weights, each at its own place. */
import type { Initializer } from '../onnx/model.ts'
import { dataTypes } from '../onnx/data-type.ts'
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

/** The bytes of a file with these weights. */
export const weightsFileBytes = (weights: readonly PlacedWeight[]): number =>
  weights
    .flatMap(({ tensors }) => tensors)
    .reduce((end, { offset, numBytes }) => Math.max(end, offset + numBytes), 0)
