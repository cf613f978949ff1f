/** Writes ZIP archives laid out like torch.save's, with sizes in any of the forms of the format. */
import { crc32 } from 'node:zlib'

export type ZipOptions = {
  /** Sizes and places stand in 64 bits, as beyond 4 GiB. */
  readonly isZip64?: boolean
  /** Sizes follow the data, as torch.save has them. */
  readonly hasDescriptors?: boolean
  readonly method?: number
  readonly flags?: number
}

const fields = (...values: readonly (readonly [2 | 4 | 8, number])[]): Buffer =>
  Buffer.concat(
    values.map(([bytes, value]) => {
      const field = Buffer.alloc(8)
      field.writeBigUInt64LE(BigInt(value))
      return field.subarray(0, bytes)
    }),
  )

const is64 = 0xffff_ffff

/** @param entries by their names inside the archive's folder */
export const writeTorch = (
  entries: Readonly<Record<string, Uint8Array>>,
  { isZip64 = false, hasDescriptors = false, method = 0, flags = 0 }: ZipOptions = {},
): Uint8Array => {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  const end = (): number => parts.reduce((sum, part) => sum + part.length, 0)
  const bits = flags | (hasDescriptors ? 8 : 0)
  const size = (value: number): [4, number] => [4, isZip64 ? is64 : value]
  for (const [inside, data] of Object.entries(entries)) {
    const name = Buffer.from(`x/${inside}`)
    const offset = end()
    const sum = crc32(data)
    const local: [2 | 4, number][] = [
      [4, 0x04034b50],
      [2, 20],
      [2, bits],
      [2, method],
      [4, 0],
    ]
    const sizes: [4, number][] = hasDescriptors
      ? [
          [4, 0],
          [4, 0],
          [4, 0],
        ]
      : [[4, sum], size(data.length), size(data.length)]
    parts.push(fields(...local, ...sizes, [2, name.length], [2, 0]), name, Buffer.from(data))
    const width = isZip64 ? 8 : 4
    if (hasDescriptors) {
      parts.push(fields([4, 0x08074b50], [4, sum], [width, data.length], [width, data.length]))
    }
    const extra = isZip64
      ? fields(
          [2, 0x5a5a],
          [2, 2],
          [2, 0],
          [2, 1],
          [2, 24],
          [8, data.length],
          [8, data.length],
          [8, offset],
        )
      : Buffer.alloc(0)
    directory.push(
      fields([4, 0x02014b50], [2, 20], [2, 20], [2, bits], [2, method], [4, 0], [4, sum]),
      fields(size(data.length), size(data.length), [2, name.length], [2, extra.length], [2, 0]),
      fields([4, 0], [4, 0], size(offset)),
      name,
      extra,
    )
  }
  const offset = end()
  const list = Buffer.concat(directory)
  const count = Object.keys(entries).length
  const end64 = isZip64
    ? [
        fields([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count]),
        fields([8, list.length], [8, offset]),
        fields([4, 0x07064b50], [4, 0], [8, offset + list.length], [4, 1]),
      ]
    : []
  return Buffer.concat([
    ...parts,
    list,
    ...end64,
    fields([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count]),
    fields(size(list.length), size(offset), [2, 0]),
  ])
}
