/** The same model as another GGUF file with every tensor as float32: what its weights really are. */
import { existsSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { readGgufHeader } from '../../../../backend/checkpoint/gguf-header.ts'
import { RangeFile } from '../../../../backend/checkpoint/range-file.ts'
import { countValues, readRows } from '../../../../backend/checkpoint/tensor-file.ts'
import { tensorPlace } from '../../../../backend/checkpoint/tensor-place.ts'

const alignment = 32
const align = (place: number): number => Math.ceil(place / alignment) * alignment

const integer = (bytes: 4 | 8, value: number): Buffer => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64LE(BigInt(value))
  return buffer.subarray(0, bytes)
}

/**
 * Writes it once; metadata and tokenizer stay byte for byte, tensors keep names, order and row order.
 * @param from of GGUF's default alignment
 */
export const writeFloat32Gguf = async (from: string, to: string): Promise<void> => {
  if (existsSync(to)) return
  const temporary = `${to}.tmp`
  const source = await RangeFile.open(from)
  const target = await open(temporary, 'w')
  try {
    const { metadataBytes, tensors } = await readGgufHeader(source)
    const header: Uint8Array[] = [await source.read(0, metadataBytes)]
    let end = 0
    for (const [name, { shape }] of tensors) {
      const dims = shape.toReversed()
      const nameBytes = Buffer.from(name)
      header.push(integer(8, nameBytes.length), nameBytes, integer(4, dims.length))
      header.push(...dims.map((dim) => integer(8, dim)), integer(4, 0), integer(8, end))
      end = align(end + countValues(shape) * Float32Array.BYTES_PER_ELEMENT)
    }
    const bytes = Buffer.concat(header)
    await target.writeFile(Buffer.concat([bytes, Buffer.alloc(align(bytes.length) - bytes.length)]))
    for (const [name, info] of tensors) {
      let numBytes = 0
      for await (const rows of readRows(source, tensorPlace(from, name, info))) {
        const piece = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength)
        await target.writeFile(piece)
        numBytes += piece.length
      }
      await target.writeFile(Buffer.alloc(align(numBytes) - numBytes))
    }
  } finally {
    await source.close()
    await target.close()
  }
  await rename(temporary, to)
}
