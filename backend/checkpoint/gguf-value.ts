/** The typed values of GGUF's metadata (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). */
import type { GgufCursor } from './gguf-cursor.ts'
import type { GgufTexts } from './gguf-texts.ts'

export type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array

/**
 * 64-bit integers are numbers: beyond 2^53 they lose their last digits. An array of booleans is one
 * of bytes.
 */
export type GgufValue = number | boolean | string | NumberArray | GgufTexts

const boolType = 7
const textType = 8
const arrayType = 9

type NumberType = {
  readonly bytes: number
  readonly read: (buffer: ArrayBuffer) => NumberArray
}

/** By GGUF's number of the type. */
const numberTypes: ReadonlyMap<number, NumberType> = new Map([
  [0, { bytes: 1, read: (buffer) => new Uint8Array(buffer) }],
  [1, { bytes: 1, read: (buffer) => new Int8Array(buffer) }],
  [2, { bytes: 2, read: (buffer) => new Uint16Array(buffer) }],
  [3, { bytes: 2, read: (buffer) => new Int16Array(buffer) }],
  [4, { bytes: 4, read: (buffer) => new Uint32Array(buffer) }],
  [5, { bytes: 4, read: (buffer) => new Int32Array(buffer) }],
  [6, { bytes: 4, read: (buffer) => new Float32Array(buffer) }],
  [10, { bytes: 8, read: (buffer) => Float64Array.from(new BigUint64Array(buffer), Number) }],
  [11, { bytes: 8, read: (buffer) => Float64Array.from(new BigInt64Array(buffer), Number) }],
  [12, { bytes: 8, read: (buffer) => new Float64Array(buffer) }],
] satisfies [number, NumberType][])

const readBoolean = (cursor: GgufCursor): boolean => {
  const byte = cursor.uint8()
  if (byte <= 1) return byte === 1
  throw new Error(`a boolean is ${byte}`)
}

const readArray = (cursor: GgufCursor): NumberArray | GgufTexts => {
  const type = cursor.uint32()
  const length = cursor.uint64()
  const numbers = numberTypes.get(type === boolType ? 0 : type)
  if (numbers !== undefined) return numbers.read(cursor.bytes(length * numbers.bytes).buffer)
  if (type !== textType) throw new Error(`an array is of type ${type}, which is not supported`)
  return cursor.texts(length)
}

/**
 * @param type GGUF's number of it
 * @throws Error for a type that is not known, EndOfBytes
 */
export const readValue = (cursor: GgufCursor, type: number): GgufValue => {
  if (type === textType) return cursor.text()
  if (type === boolType) return readBoolean(cursor)
  if (type === arrayType) return readArray(cursor)
  const numbers = numberTypes.get(type)
  const value = numbers?.read(cursor.bytes(numbers.bytes).buffer)[0]
  if (value === undefined) throw new Error(`a value has the unknown type ${type}`)
  return value
}
