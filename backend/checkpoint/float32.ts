/** Turns the little-endian bytes of a checkpoint's floating-point types into float32. */
import type { Dtype } from './safetensors-header.ts'

/** The types that weights may have here, and the bytes of one element. */
export const floatBytes = { F32: 4, F16: 2, BF16: 2 } as const satisfies Partial<
  Record<Dtype, number>
>

export type FloatDtype = keyof typeof floatBytes

export const isFloatDtype = (dtype: Dtype): dtype is FloatDtype => Object.hasOwn(floatBytes, dtype)

/** @param bytes whole elements from the start of their buffer; F32 shares its memory */
export const toFloat32 = (dtype: FloatDtype, bytes: Uint8Array<ArrayBuffer>): Float32Array => {
  const numElements = bytes.length / floatBytes[dtype]
  if (dtype === 'F32') return new Float32Array(bytes.buffer, 0, numElements)
  if (dtype === 'F16') return new Float32Array(new Float16Array(bytes.buffer, 0, numElements))
  // bfloat16 is the upper half of a float32.
  const halves = new Uint16Array(bytes.buffer, 0, numElements)
  const words = new Uint32Array(numElements)
  for (let i = 0; i < numElements; i++) words[i] = halves[i]! << 16
  return new Float32Array(words.buffer)
}
