/**
 * In which form a converted model stores its weights: plain numbers of 32 or 16 bits, or codes of 8 or 4
 * bits with a scale for each block of a row, as com.microsoft.MatMulNBits and GatherBlockQuantized read
 * them.
 */
import type { DataType } from '../onnx/data-type.ts'

export const weightDtypes = ['float32', 'float16', 'bfloat16'] as const
export type WeightDtype = (typeof weightDtypes)[number]

export const quantizations = ['none', 'int8', 'int4'] as const
export type Quantization = (typeof quantizations)[number]

/** Of embedding and output head, where the other matrices are quantised. */
export const embeddingQuantizations = ['int8', 'int4'] as const satisfies readonly Quantization[]
export type EmbeddingQuantization = (typeof embeddingQuantizations)[number]

export type WeightFormat = {
  /** Of matrices that are not quantised. Vectors and tables are small and stay float32. */
  readonly dtype: WeightDtype
  /** Of the layers' matrices. */
  readonly quantization: Quantization
  /** Of embedding and output head: `none` where `quantization` is. */
  readonly embeddingQuantization: Quantization
}

export const plainFormat: WeightFormat = {
  dtype: 'float32',
  quantization: 'none',
  embeddingQuantization: 'none',
}

/** Embedding and head keep 8 bits where the layers have 4: an error of the head is an error of the logits. */
export const defaultEmbeddingQuantization = (quantization: Quantization): Quantization =>
  quantization === 'none' ? 'none' : 'int8'

/** How one weight is stored. */
export type Encoding = WeightDtype | 'int8' | 'int4'

/** Consecutive values of a row that share a scale. */
export const quantizationBlock = 32

/**
 * What a weight is to the graph: `token` matrices have a row for each token of the vocabulary, the
 * embedding and the output head.
 */
export type WeightRole = 'vector' | 'matrix' | 'token'

/**
 * Rows of a token matrix are looked up one by one, and so must be whole blocks to be quantised.
 * @param columns of the matrix
 */
export const encodingOf = (role: WeightRole, columns: number, format: WeightFormat): Encoding => {
  if (role === 'vector') return 'float32'
  const isToken = role === 'token'
  const quantization = isToken ? format.embeddingQuantization : format.quantization
  if (quantization === 'none' || (isToken && !isWholeBlocks(columns))) return format.dtype
  return quantization
}

export const bitsOf = { int8: 8, int4: 4 } as const satisfies Partial<Record<Encoding, number>>

export const isQuantized = (encoding: Encoding): encoding is keyof typeof bitsOf =>
  Object.hasOwn(bitsOf, encoding)

export const isWholeBlocks = (columns: number): boolean => columns % quantizationBlock === 0

/** Blocks of a row; the last one may be padded. */
export const blocksOf = (columns: number): number => Math.ceil(columns / quantizationBlock)

/** Bytes of a block's codes. */
export const blockBytesOf = (encoding: keyof typeof bitsOf): number =>
  (quantizationBlock * bitsOf[encoding]) / 8

/** The initialiser that has the scales of a quantised weight, one for each block of each row. */
export const scalesName = (weight: string): string => `${weight}_scales`

/** A tensor as it is stored. */
export type StoredTensor = {
  readonly name: string
  readonly type: DataType
  readonly dims: readonly number[]
}

/** What is stored of a weight: the tensor itself, or its codes and their scales. */
export const storedTensors = (
  name: string,
  dims: readonly number[],
  encoding: Encoding,
): readonly [StoredTensor] | readonly [codes: StoredTensor, scales: StoredTensor] => {
  if (!isQuantized(encoding)) return [{ name, type: encoding, dims }]
  const [rows = 1, columns = 1] = dims
  const blocks = blocksOf(columns)
  return [
    { name, type: 'uint8', dims: [rows, blocks, blockBytesOf(encoding)] },
    { name: scalesName(name), type: 'float32', dims: [rows, blocks] },
  ]
}
