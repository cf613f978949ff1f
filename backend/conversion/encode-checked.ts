/** Encodes rows, and refuses what the encoding would spoil. */
import { encodeRows, type EncodedRows } from '../graph/encode-weights.ts'
import { isQuantized, type Encoding } from '../graph/weight-format.ts'
import { ModelFolderError } from '../model-folder-error.ts'

/** Where rows are from, for errors. */
export type Origin = { readonly path: string; readonly name: string }

/**
 * @param values whole rows of `columns` each
 * @throws ModelFolderError for values that the encoding does not have
 */
export const encodeChecked = (
  values: Float32Array,
  columns: number,
  encoding: Encoding,
  { path, name }: Origin,
): EncodedRows => {
  if (isQuantized(encoding) && !isFinite32(values)) {
    throw new ModelFolderError(
      path,
      `tensor ${name} has values that are infinite or no numbers, which ${encoding} cannot store`,
    )
  }
  const encoded = encodeRows(values, columns, encoding)
  if (encoding === 'float16' && !isFinite16(encoded.data)) {
    throw new ModelFolderError(
      path,
      `tensor ${name} has values that float16 cannot store: choose bfloat16 or float32`,
    )
  }
  return encoded
}

/** Whether no exponent is the one of infinities and of what is no number. */
const isFinite32 = ({ buffer, byteOffset, length }: Float32Array): boolean => {
  const words = new Uint32Array(buffer, byteOffset, length)
  for (let i = 0; i < length; i++) if ((words[i]! & 0x7f800000) === 0x7f800000) return false
  return true
}

const isFinite16 = ({ buffer, byteOffset, byteLength }: Uint8Array): boolean => {
  const words = new Uint16Array(buffer, byteOffset, byteLength / 2)
  for (let i = 0; i < words.length; i++) if ((words[i]! & 0x7c00) === 0x7c00) return false
  return true
}
