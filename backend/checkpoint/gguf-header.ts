/**
 * Parses what stands before the data of a GGUF file: metadata, and each tensor's type, shape and
 * place (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). As in llama.cpp, tensors lie in
 * their order, with no gap but padding.
 */
import { ModelFolderError } from '../model-folder-error.ts'
import { EndOfBytes, GgufCursor } from './gguf-cursor.ts'
import { GgufMetadata } from './gguf-metadata.ts'
import { readValue, type GgufValue } from './gguf-value.ts'
import type { RangeFile } from './range-file.ts'
import { countValues, type TensorInfo } from './tensor-file.ts'
import { bytesOf, weightTypes, type WeightType } from './weight-type.ts'

export type GgufHeader = {
  readonly metadata: GgufMetadata
  /** Bytes before the descriptions of the tensors. */
  readonly metadataBytes: number
  /** By GGUF's names; shapes are row-major, slowest dimension first. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
}

/** Vocabularies make headers of some MiB. The first read holds most; each next one is larger. */
const firstReadBytes = 4 << 20
const maxHeaderBytes = 64 << 20

const maxKeys = 1 << 16
const maxTensors = 1 << 16
const maxDims = 4
const defaultAlignment = 32

/** ggml's numbers of the types that can be read. */
const typeNames: ReadonlyMap<number, WeightType> = new Map([
  [0, 'F32'],
  [1, 'F16'],
  [2, 'Q4_0'],
  [3, 'Q4_1'],
  [6, 'Q5_0'],
  [7, 'Q5_1'],
  [8, 'Q8_0'],
  [12, 'Q4_K'],
  [13, 'Q5_K'],
  [14, 'Q6_K'],
  [30, 'BF16'],
] satisfies [number, WeightType][])

type UnplacedTensor = {
  readonly type: WeightType
  readonly shape: readonly number[]
  readonly numBytes: number
  /** From the start of the data. */
  readonly offset: number
}

const readStart = (cursor: GgufCursor): { numTensors: number; numKeys: number } => {
  const magic = cursor.uint32()
  if (magic !== 0x46554747) throw new Error('it is no GGUF file')
  const version = cursor.uint32()
  if (version !== 2 && version !== 3) {
    throw new Error(`its GGUF version or byte order is not supported: version ${version}`)
  }
  const numTensors = cursor.uint64()
  const numKeys = cursor.uint64()
  if (numTensors <= maxTensors && numKeys <= maxKeys) return { numTensors, numKeys }
  throw new Error(`it would have ${numTensors} tensors and ${numKeys} keys`)
}

const readMetadata = (cursor: GgufCursor, numKeys: number): Map<string, GgufValue> => {
  const values = new Map<string, GgufValue>()
  for (let i = 0; i < numKeys; i++) {
    const key = cursor.text()
    if (values.has(key)) throw new Error(`it has the key ${key} twice`)
    values.set(key, readValue(cursor, cursor.uint32()))
  }
  return values
}

const readTensor = (cursor: GgufCursor, name: string): UnplacedTensor => {
  const numDims = cursor.uint32()
  if (numDims > maxDims) throw new Error(`tensor ${name} has ${numDims} dimensions`)
  const shape = Array.from({ length: numDims }, () => cursor.uint64()).toReversed()
  const typeNumber = cursor.uint32()
  const offset = cursor.uint64()
  const type = typeNames.get(typeNumber)
  if (type === undefined) {
    throw new Error(
      `tensor ${name} has ggml's type ${typeNumber}; weights must be ${weightTypes.join(', ')}`,
    )
  }
  const numValues = countValues(shape)
  const numBytes = bytesOf(type, shape.at(-1) ?? 1) === null ? null : bytesOf(type, numValues)
  if (numBytes !== null && Number.isSafeInteger(numValues)) return { type, shape, numBytes, offset }
  throw new Error(`tensor ${name} cannot be ${type}[${shape.join(', ')}]`)
}

const readTensors = (cursor: GgufCursor, numTensors: number): Map<string, UnplacedTensor> => {
  const tensors = new Map<string, UnplacedTensor>()
  for (let i = 0; i < numTensors; i++) {
    const name = cursor.text()
    if (tensors.has(name)) throw new Error(`it has two tensors ${name}`)
    tensors.set(name, readTensor(cursor, name))
  }
  return tensors
}

const place = (
  tensors: ReadonlyMap<string, UnplacedTensor>,
  headerBytes: number,
  alignment: number,
  fileBytes: number,
): Map<string, TensorInfo> => {
  const align = (place: number): number => Math.ceil(place / alignment) * alignment
  const dataStart = align(headerBytes)
  let end = 0
  const placed = new Map<string, TensorInfo>()
  for (const [name, { type, shape, numBytes, offset }] of tensors) {
    if (offset !== align(end)) throw new Error(`tensor ${name} is not where the one before it ends`)
    end = offset + numBytes
    placed.set(name, { dtype: type, shape, offset: dataStart + offset })
  }
  if (dataStart + end <= fileBytes) return placed
  throw new Error(
    `it has ${fileBytes} bytes, but its tensors end at ${dataStart + end}: was it cut off? Download it again`,
  )
}

const parseHeader = (path: string, bytes: Uint8Array, fileBytes: number): GgufHeader => {
  const cursor = new GgufCursor(bytes)
  const { numTensors, numKeys } = readStart(cursor)
  const metadata = new GgufMetadata(path, readMetadata(cursor, numKeys))
  const metadataBytes = cursor.at
  const alignment = metadata.index('general.alignment') ?? defaultAlignment
  if (alignment === 0 || alignment % 8 !== 0 || alignment > 1 << 20) {
    throw new Error(`general.alignment must be a multiple of 8, not ${alignment}`)
  }
  const tensors = readTensors(cursor, numTensors)
  return { metadata, metadataBytes, tensors: place(tensors, cursor.at, alignment, fileBytes) }
}

/** @throws ModelFolderError for anything that would read outside a tensor's own bytes */
export const readGgufHeader = async (file: RangeFile): Promise<GgufHeader> => {
  const most = Math.min(file.size, maxHeaderBytes)
  for (let length = Math.min(firstReadBytes, most); ; length = Math.min(length * 4, most)) {
    try {
      return parseHeader(file.path, await file.read(0, length), file.size)
    } catch (error) {
      if (error instanceof ModelFolderError) throw error
      if (!(error instanceof EndOfBytes)) throw new ModelFolderError(file.path, error)
      if (length === most)
        throw file.error(`its header has no end in ${most} bytes: was it cut off?`)
    }
  }
}
