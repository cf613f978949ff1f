/** Does pieces: reads rows of the checkpoint, cuts, encodes and writes them, and takes their checksums. */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { ModelConfig } from '../checkpoint/config.ts'
import { readPlacedRows, type TensorPlace } from '../checkpoint/tensor-place.ts'
import { toFloat32, type WeightType } from '../checkpoint/weight-type.ts'
import { rotaryTable } from '../graph/rotary.ts'
import { rangeLength } from '../graph/shard-plan.ts'
import type { WeightDtype } from '../graph/weight-format.ts'
import { encodeChecked, type Origin } from './encode-checked.ts'
import { cutRows, type Rows } from './cut-rows.ts'
import type { Piece, Target } from './pieces.ts'

/** Bytes of a file of weights that one piece has written. */
export type WrittenRange = {
  /** Counts the files of weights. */
  readonly file: number
  readonly offset: number
  readonly numBytes: number
  /** In hexadecimal. */
  readonly sha256: string
}

export type PieceResult = {
  readonly ranges: readonly WrittenRange[]
  /** Of the bytes that were read, where the tensor has a checksum. */
  readonly sourceCrc32?: number
}

/** Read at once: 4 MiB as float32. All that is in memory is a small multiple of it, or of one row. */
const valuesPerStep = 1 << 20

/** Types whose bytes are those of an encoding. */
const sameBytes: Partial<Record<WeightType, WeightDtype>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
}

/** Rows as they are stored, where some encoding is the same, and as float32 once somebody wants them. */
type Step = { readonly stored: Rows | null; readonly storedAs?: WeightDtype; float32(): Rows }

type OpenRange = { readonly offset: number; numBytes: number; readonly hash: Hash }

/** Blocks its thread while it works. */
export class PieceWriter {
  readonly #config: ModelConfig
  readonly #outputs: readonly string[]
  readonly #files = new Map<string, number>()
  #scratch = new Uint8Array(0)
  #values = new Float32Array(0)

  /** @param outputs the files of weights, which are there in their full size */
  constructor(outputs: readonly string[], config: ModelConfig) {
    this.#outputs = outputs
    this.#config = config
  }

  /**
   * Returns when the system has the bytes; they are safe on disk when the files were synced.
   * @throws ModelFolderError for rows that cannot be read or stored in the wanted form
   */
  write(piece: Piece): PieceResult {
    const open = piece.targets.map((): OpenRange[] => [])
    const hasChecksum = typeof piece.source !== 'string' && piece.source.crc32 !== undefined
    let sourceCrc32 = hasChecksum ? 0 : undefined
    for (const step of this.#steps(piece)) {
      if (sourceCrc32 !== undefined && step.stored !== null) {
        sourceCrc32 = crc32(step.stored.bytes, sourceCrc32)
      }
      for (const [index, target] of piece.targets.entries()) {
        this.#writeTarget(step, piece, target, open[index] ?? [])
      }
    }
    const ranges = piece.targets.flatMap(({ file }, index) =>
      (open[index] ?? []).map(({ offset, numBytes, hash }) => ({
        file,
        offset,
        numBytes,
        sha256: hash.digest('hex'),
      })),
    )
    return sourceCrc32 === undefined ? { ranges } : { ranges, sourceCrc32 }
  }

  /** Idempotent. */
  close(): void {
    for (const file of this.#files.values()) closeSync(file)
    this.#files.clear()
  }

  #steps({ source, rows }: Piece): Iterable<Step> {
    return typeof source === 'string'
      ? tableSteps(rotaryTable(this.#config, source), this.#config.headDim / 2)
      : this.#tensorSteps(source, rows)
  }

  *#tensorSteps(source: TensorPlace, rows: Piece['rows']): Generator<Step, void> {
    const { rowValues: width, rowBytes, groupRows, type } = source
    const stepRows = Math.max(1, Math.floor(valuesPerStep / (width * groupRows))) * groupRows
    const file = this.#open(source.path, 'r')
    for (let firstRow = rows.begin; firstRow < rows.end; firstRow += stepRows) {
      const numRows = Math.min(stepRows, rows.end - firstRow)
      const numBytes = numRows * rowBytes
      if (this.#scratch.length < numBytes) this.#scratch = new Uint8Array(numBytes)
      const bytes = readPlacedRows(file, source, { firstRow, numRows }, this.#scratch)
      const place = { firstRow, numRows, width }
      const storedAs = sameBytes[type]
      let values: Rows | undefined
      const decode = (): Rows => {
        const numValues = numRows * width
        if (this.#values.length < numValues) this.#values = new Float32Array(numValues)
        return { ...place, ...bytesOf(toFloat32(type, bytes, this.#values)) }
      }
      yield {
        stored: { ...place, bytes, elementBytes: rowBytes / width },
        ...(storedAs && { storedAs }),
        float32: () => (values ??= decode()),
      }
    }
  }

  #writeTarget(step: Step, { source }: Piece, target: Target, open: OpenRange[]): void {
    const { encoding, places } = target
    const isStored = step.storedAs === encoding
    const cut = cutRows(isStored && step.stored ? step.stored : step.float32(), target)
    if (cut === null) return
    const { data, scales } = isStored
      ? { data: cut.bytes, scales: null }
      : encodeChecked(floatsOf(cut.bytes), rangeLength(target.columns), encoding, originOf(source))
    const parts = scales === null ? [data] : [data, new Uint8Array(scales.buffer)]
    for (const [index, bytes] of parts.entries()) {
      const place = places[index]
      if (place === undefined) throw new Error('a weight has more parts than places')
      const offset = place.offset + (cut.firstRow - target.rows.begin) * place.rowBytes
      const range = (open[index] ??= { offset, numBytes: 0, hash: createHash('sha256') })
      range.numBytes += bytes.length
      range.hash.update(bytes)
      this.#writeFully(target.file, bytes, offset)
    }
  }

  #writeFully(file: number, bytes: Uint8Array, position: number): void {
    const descriptor = this.#open(this.#outputs[file] ?? '', 'r+')
    for (let done = 0; done < bytes.length;) {
      done += writeSync(descriptor, bytes, done, bytes.length - done, position + done)
    }
  }

  #open(path: string, flags: 'r' | 'r+'): number {
    const known = this.#files.get(path)
    if (known !== undefined) return known
    const file = openSync(path, flags)
    this.#files.set(path, file)
    return file
  }
}

const floatsOf = ({ buffer, byteOffset, length }: Uint8Array): Float32Array =>
  new Float32Array(buffer, byteOffset, length / Float32Array.BYTES_PER_ELEMENT)

const originOf = (source: Piece['source']): Origin =>
  typeof source === 'string' ? { path: 'the rotary tables', name: source } : source

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array<ArrayBuffer>) => ({
  bytes: new Uint8Array(buffer, byteOffset, byteLength),
  elementBytes: Float32Array.BYTES_PER_ELEMENT,
})

function* tableSteps(pieces: Iterable<Float32Array<ArrayBuffer>>, width: number): Generator<Step> {
  let firstRow = 0
  for (const values of pieces) {
    const place = { firstRow, numRows: values.length / width, width }
    yield { stored: null, float32: () => ({ ...place, ...bytesOf(values) }) }
    firstRow += place.numRows
  }
}
