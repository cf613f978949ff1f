/** Writes safetensors files, sound ones and others. */
import { writeFileSync } from 'node:fs'

/** The 8-byte length, the header as JSON (or as it is given), and the data. */
export const safetensorsBytes = (
  header: object | string,
  data: Uint8Array = new Uint8Array(0),
  headerLength?: bigint,
): Uint8Array => {
  const text = typeof header === 'string' ? header : JSON.stringify(header)
  const json = Buffer.from(text)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(headerLength ?? BigInt(json.length))
  return Buffer.concat([length, json, data])
}

export type Float32Tensors = Readonly<
  Record<string, { readonly shape: readonly number[]; readonly values: Float32Array }>
>

/** A sound file of F32 tensors. */
export const writeFloat32Tensors = (path: string, tensors: Float32Tensors): void => {
  const header: Record<string, object> = {}
  let end = 0
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] }
    end += values.byteLength
  }
  const data = Object.values(tensors).map(({ values }) =>
    Buffer.from(values.buffer, values.byteOffset, values.byteLength),
  )
  writeFileSync(path, safetensorsBytes(header, Buffer.concat(data)))
}
