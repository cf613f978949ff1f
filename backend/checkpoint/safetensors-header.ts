/**
 * Parses the header of a safetensors file: an 8-byte length, JSON that names each tensor's type,
 * shape and place, then the data. Rules as in the reference
 * (https://github.com/huggingface/safetensors, "Format"): no overlap, no gap, nothing left over.
 */
import { isFields } from '../../shared/parse.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { JsonFile } from './json-file.ts'
import { countValues, type TensorInfo } from './tensor-file.ts'

/**
 * The reference allows 100 MB, which JSON.parse makes gigabytes of; a model of the Llama family needs some
 * 100 KB.
 */
const maxHeaderBytes = 16 << 20

/** The 8 bytes that say how long the header is. */
export const lengthBytes = 8

/** Bytes of one element. */
const dtypeBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const

type Dtype = keyof typeof dtypeBytes

type PlacedTensor = TensorInfo & { readonly numBytes: number }

const isDtype = (value: unknown): value is Dtype =>
  typeof value === 'string' && Object.hasOwn(dtypeBytes, value)

const isCountList = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0)

/** The header's length from the file's first 8 bytes. @throws ModelFolderError when it cannot be */
export const parseHeaderLength = (path: string, start: Uint8Array, fileBytes: number): number => {
  if (start.length < lengthBytes) {
    throw new ModelFolderError(path, `it is no safetensors file: it has ${fileBytes} bytes`)
  }
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true)
  if (length <= BigInt(Math.min(maxHeaderBytes, fileBytes - lengthBytes))) return Number(length)
  throw new ModelFolderError(
    path,
    `it is no safetensors file or is cut off: its header would have ${length} bytes, of ${maxHeaderBytes} at most`,
  )
}

const parseTensor = (file: JsonFile, name: string, dataStart: number): PlacedTensor => {
  const entry = file.fields[name]
  const error = (message: string): ModelFolderError => file.error(`tensor ${name} ${message}`)
  if (!isFields(entry)) throw error('is not described by an object')
  const { dtype, shape, data_offsets: offsets } = entry
  if (!isDtype(dtype)) throw error(`has the unknown type ${JSON.stringify(dtype)}`)
  if (!isCountList(shape)) throw error('has no proper shape')
  if (!isCountList(offsets) || offsets.length !== 2) throw error('has no proper data_offsets')
  const [begin = 0, end = 0] = offsets
  const numBytes = countValues(shape) * dtypeBytes[dtype]
  if (end - begin === numBytes) return { dtype, shape, offset: dataStart + begin, numBytes }
  throw error(
    `is ${dtype}[${shape.join(', ')}], ${numBytes} bytes, but its data_offsets span ${end - begin}`,
  )
}

/**
 * @param path the file's, for errors
 * @param header the JSON, as bytes
 * @param fileBytes the whole file's size
 * @throws ModelFolderError for anything that would read outside a tensor's own bytes
 */
export const parseHeader = (
  path: string,
  header: Uint8Array,
  fileBytes: number,
): Map<string, TensorInfo> => {
  const dataStart = lengthBytes + header.length
  const file = new JsonFile(path, new TextDecoder().decode(header))
  const tensors = new Map<string, PlacedTensor>()
  for (const name of Object.keys(file.fields)) {
    if (name !== '__metadata__') tensors.set(name, parseTensor(file, name, dataStart))
  }
  let end = dataStart
  // Empty tensors share their place with the tensor after them.
  const byPlace = [...tensors].sort(
    ([, a], [, b]) => a.offset - b.offset || a.numBytes - b.numBytes,
  )
  for (const [name, { offset, numBytes }] of byPlace) {
    if (offset < end) throw file.error(`tensor ${name} overlaps the one before it`)
    if (offset > end) throw file.error(`tensor ${name} leaves a gap before it`)
    end += numBytes
  }
  if (end === fileBytes) return tensors
  throw file.error(
    `it has ${fileBytes} bytes, but its tensors end at ${end}: was it cut off? Download it again`,
  )
}
