/** Writes GGUF files, sound ones and others. Whole numbers become uint32, others float32, unless typed. */

export type GgufContent = {
  readonly metadata: Readonly<
    Record<string, string | number | boolean | readonly string[] | readonly number[] | Int32Array>
  >
  readonly tensors: readonly {
    readonly name: string
    /** Innermost first. */
    readonly dims: readonly number[]
    readonly type: number
    /** From the start of its buffer to its end. */
    readonly data?: Float32Array | Uint8Array
    /** Where it says that it is; by default where it is. */
    readonly offset?: number
  }[]
}

/** The settings that a Llama cannot do without. */
export const llamaMetadata: GgufContent['metadata'] = {
  'general.architecture': 'llama',
  'llama.block_count': 1,
  'llama.context_length': 64,
  'llama.embedding_length': 32,
  'llama.feed_forward_length': 48,
  'llama.attention.head_count': 2,
  'llama.attention.layer_norm_rms_epsilon': 1.5,
  'llama.vocab_size': 40,
}

const alignment = 32

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

const uint64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

const text = (value: string): Buffer =>
  Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)])

/** GGUF's number of the type, and the bytes of the value. */
const typed = (value: string | number | boolean): [number, Buffer] => {
  if (typeof value === 'string') return [8, text(value)]
  if (typeof value === 'boolean') return [7, Buffer.from([value ? 1 : 0])]
  if (Number.isInteger(value)) return [4, uint32(value)]
  return [6, Buffer.from(Float32Array.of(value).buffer)]
}

const value = (content: GgufContent['metadata'][string]): Buffer => {
  if (typeof content !== 'object') {
    const [type, bytes] = typed(content)
    return Buffer.concat([uint32(type), bytes])
  }
  if (content instanceof Int32Array) {
    return Buffer.concat([
      uint32(9),
      uint32(5),
      uint64(content.length),
      Buffer.from(content.buffer),
    ])
  }
  const items = [...content].map(typed)
  const head = [uint32(9), uint32(items[0]?.[0] ?? 8), uint64(items.length)]
  return Buffer.concat([...head, ...items.map(([, bytes]) => bytes)])
}

const padded = (bytes: Buffer): Buffer =>
  Buffer.concat([bytes, Buffer.alloc(-bytes.length & (alignment - 1))])

export const ggufBytes = ({ metadata, tensors }: GgufContent): Uint8Array => {
  const keys = Object.entries(metadata)
  const header = [Buffer.from('GGUF'), uint32(3), uint64(tensors.length), uint64(keys.length)]
  for (const [key, content] of keys) header.push(text(key), value(content))
  const data: Buffer[] = []
  let end = 0
  for (const tensor of tensors) {
    header.push(text(tensor.name), uint32(tensor.dims.length), ...tensor.dims.map(uint64))
    header.push(uint32(tensor.type), uint64(tensor.offset ?? end))
    const bytes = padded(Buffer.from(tensor.data?.buffer ?? new ArrayBuffer(0)))
    data.push(bytes)
    end += bytes.length
  }
  return Buffer.concat([padded(Buffer.concat(header)), ...data])
}
