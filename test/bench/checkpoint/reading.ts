/**
 * How fast weights are read as float32, by processor time: each format and type, from the page cache. Best of 3.
 *
 *     node test/bench/checkpoint/reading.ts [MiB of each file, 512]
 */
import { mkdtempSync, openSync, closeSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GgufFile } from '../../../backend/checkpoint/gguf-file.ts'
import { SafetensorsFile } from '../../../backend/checkpoint/safetensors-file.ts'
import type { TensorFile } from '../../../backend/checkpoint/tensor-file.ts'
import { TorchFile } from '../../../backend/checkpoint/torch-file.ts'
import { bytesOf, type WeightType } from '../../../backend/checkpoint/weight-type.ts'
import { ggufBytes, llamaMetadata } from '../../backend/checkpoint/write-gguf.ts'
import { safetensorsBytes } from '../../backend/checkpoint/write-safetensors.ts'
import { writeTorch } from '../../backend/checkpoint/write-torch.ts'

const fileBytes = Number(process.argv[2] ?? 512) * 2 ** 20
const columns = 4096
const ggufTypes: readonly (readonly [number, WeightType])[] = [
  [0, 'F32'],
  [1, 'F16'],
  [30, 'BF16'],
  [2, 'Q4_0'],
  [3, 'Q4_1'],
  [6, 'Q5_0'],
  [7, 'Q5_1'],
  [8, 'Q8_0'],
  [12, 'Q4_K'],
  [13, 'Q5_K'],
  [14, 'Q6_K'],
]

const rowsOf = (type: WeightType): number =>
  Math.floor(fileBytes / (bytesOf(type, columns) ?? 1) / 128) * 128

/** Half-precision numbers about 1, which are sound numbers of every type. */
const block = new Uint8Array(
  Uint16Array.from({ length: 1 << 19 }, (_, i) => 0x3c00 + (i % 997)).buffer,
)

/** Writes `before`, so many bytes of numbers, and `after`. */
const writeFile = (
  path: string,
  before: Uint8Array,
  numBytes: number,
  after?: Uint8Array,
): void => {
  const file = openSync(path, 'w')
  writeSync(file, before)
  for (let left = numBytes; left > 0; left -= block.length)
    writeSync(file, block, 0, Math.min(left, block.length))
  if (after !== undefined) writeSync(file, after)
  closeSync(file)
}

/** A state dict whose x is all of storage 0. */
const pickle = (storage: string, rows: number): Uint8Array => {
  const int = (value: number): string => {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32LE(value)
    return `J${bytes.toString('latin1')}`
  }
  const text = (value: string): string => `X${String.fromCharCode(value.length)}\0\0\0${value}`
  const reference = `(${text('storage')}ctorch\n${storage}\n${text('0')}${text('cpu')}${int(rows * columns)}tQ`
  const view = `K\0${int(rows)}${int(columns)}\x86${int(columns)}K\x01\x86\x89`
  const tensor = `ctorch._utils\n_rebuild_tensor_v2\n(${reference}${view}ccollections\nOrderedDict\n)RtR`
  return Buffer.from(`\x80\x02}${text('x')}${tensor}s.`, 'latin1')
}

/** Seconds of processor time, of this thread and those that read for it. */
const read = async (file: TensorFile, name: string): Promise<[seconds: number, values: number]> => {
  const start = process.cpuUsage()
  let values = 0
  for await (const piece of file.readFloat32(name)) values += piece.length
  const { user, system } = process.cpuUsage(start)
  return [(user + system) / 1e6, values]
}

const measure = async (
  title: string,
  stored: number,
  open: () => Promise<TensorFile>,
  name: string,
): Promise<void> => {
  const rates: [number, number][] = []
  for (let run = 0; run < 3; run++) {
    const file = await open()
    const [seconds, values] = await read(file, name)
    await file.close()
    rates.push([stored / 1e6 / seconds, (values * 4) / 1e6 / seconds])
  }
  const [inRate = 0, outRate = 0] = rates.toSorted(([a], [b]) => b - a)[0] ?? []
  console.log(
    `${title.padEnd(24)} ${inRate.toFixed(0).padStart(6)} MB/s stored ${outRate.toFixed(0).padStart(6)} MB/s float32`,
  )
}

const folder = mkdtempSync(join(tmpdir(), 'burrow-reading-'))
const path = join(folder, 'file')
try {
  for (const type of ['F32', 'F16', 'BF16'] as const) {
    const rows = rowsOf(type)
    const stored = rows * (bytesOf(type, columns) ?? 0)
    writeFile(
      path,
      safetensorsBytes({ x: { dtype: type, shape: [rows, columns], data_offsets: [0, stored] } }),
      stored,
    )
    await measure(`safetensors ${type}`, stored, () => SafetensorsFile.open(path), 'x')
  }
  for (const [dtype, storage] of [
    ['F32', 'FloatStorage'],
    ['F16', 'HalfStorage'],
    ['BF16', 'BFloat16Storage'],
  ] as const) {
    const rows = rowsOf(dtype)
    const stored = rows * (bytesOf(dtype, columns) ?? 0)
    const data = new Uint8Array(stored)
    for (let at = 0; at < stored; at += block.length) data.set(block.subarray(0, stored - at), at)
    writeFile(path, writeTorch({ 'data.pkl': pickle(storage, rows), 'data/0': data }), 0)
    await measure(`PyTorch ${dtype}`, stored, () => TorchFile.open(path), 'x')
  }
  for (const [number, type] of ggufTypes) {
    const rows = rowsOf(type)
    const stored = rows * (bytesOf(type, columns) ?? 0)
    for (const name of ['blk.0.ffn_up', 'blk.0.attn_q']) {
      writeFile(
        path,
        ggufBytes({
          metadata: llamaMetadata,
          tensors: [{ name: `${name}.weight`, dims: [columns, rows], type: number }],
        }),
        stored,
      )
      const known = name.endsWith('q') ? 'self_attn.q_proj' : 'mlp.up_proj'
      await measure(
        `GGUF ${type}${name.endsWith('q') ? ' reordered' : ''}`,
        stored,
        () => GgufFile.open(path),
        `model.layers.0.${known}.weight`,
      )
    }
  }
} finally {
  rmSync(folder, { recursive: true })
}
