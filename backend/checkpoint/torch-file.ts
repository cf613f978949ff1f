/**
 * One open PyTorch file (`torch.save` since 1.6): a ZIP archive with a pickle, `data.pkl`, and one
 * stored entry, `data/KEY`, for each storage. Nothing of the pickle is run, see unpickle.ts.
 */
import { crc32 } from 'node:zlib'
import { ModelFolderError } from '../model-folder-error.ts'
import { RangeFile } from './range-file.ts'
import { countValues, isWhole, readRows } from './tensor-file.ts'
import type { RowRange, TensorFile, TensorInfo } from './tensor-file.ts'
import { tensorPlace, type TensorPlace } from './tensor-place.ts'
import { StorageChecksums } from './torch-checksums.ts'
import { parseTorchPickle, type TorchTensor } from './torch-pickle.ts'
import { readZip, type ZipEntry } from './zip.ts'

/** A 70B model's shard has some 100 KiB. */
const maxPickleBytes = 32 << 20

/** Row-major without gaps. A dimension of 1 is never stepped along. */
const isContiguous = ({ shape, strides }: TorchTensor): boolean => {
  if (shape.includes(0)) return true
  let expected = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const dim = shape[axis] ?? 1
    if (dim !== 1 && strides[axis] !== expected) return false
    expected *= dim
  }
  return true
}

/** The entries below the archive's only folder, by their names in it. */
const entriesInside = (
  file: RangeFile,
  archive: ReadonlyMap<string, ZipEntry>,
): Map<string, ZipEntry> => {
  const [prefix, ...others] = [...archive.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name))
  if (prefix === undefined || others.length > 0) {
    throw file.error('it is a ZIP archive, but not one of torch.save: it has not one data.pkl')
  }
  const folder = prefix.slice(0, -'data.pkl'.length)
  const inside = [...archive].filter(([name]) => name.startsWith(folder))
  return new Map(inside.map(([name, entry]) => [name.slice(folder.length), entry]))
}

const readSmallEntry = async (
  file: RangeFile,
  name: string,
  entry: ZipEntry,
): Promise<Uint8Array> => {
  if (entry.numBytes > maxPickleBytes) throw file.error(`its ${name} has ${entry.numBytes} bytes`)
  const bytes = await file.read(entry.offset, entry.numBytes)
  if (crc32(bytes) === entry.crc32) return bytes
  throw file.error(`its ${name} is damaged: its checksum is wrong`)
}

const requireLittleEndian = async (
  file: RangeFile,
  entries: ReadonlyMap<string, ZipEntry>,
): Promise<void> => {
  // Files of before PyTorch 2.1 do not say.
  const entry = entries.get('byteorder')
  if (entry === undefined) return
  const order = new TextDecoder().decode(await readSmallEntry(file, 'byteorder', entry))
  if (order !== 'little') throw file.error('its byte order is not little-endian')
}

type PlacedTensor = TensorInfo & {
  readonly storage: ZipEntry
  /** Whether it is all of its storage. */
  readonly fillsStorage: boolean
  /** Whether it lies in the file as it is to be read. */
  readonly isContiguous: boolean
}

/** Where the tensor's first element lies, after checking that all of it is in its storage. */
const place = (
  file: RangeFile,
  name: string,
  tensor: TorchTensor,
  entries: ReadonlyMap<string, ZipEntry>,
): PlacedTensor => {
  const { storage, offset, shape } = tensor
  const { dtype, elementBytes, key, numElements } = storage
  const entry = entries.get(`data/${key}`)
  if (entry === undefined) throw file.error(`tensor ${name} is of storage ${key}, which is missing`)
  if (entry.numBytes !== numElements * elementBytes) {
    throw file.error(
      `storage ${key} has ${entry.numBytes} bytes, but should have ${numElements} of ${dtype}`,
    )
  }
  const end = offset + countValues(shape)
  if (isContiguous(tensor) && end > numElements) {
    throw file.error(`tensor ${name} ends at element ${end} of a storage of ${numElements}`)
  }
  return {
    dtype,
    shape,
    offset: entry.offset + offset * elementBytes,
    storage: entry,
    fillsStorage: countValues(shape) === numElements,
    isContiguous: isContiguous(tensor),
  }
}

const refuseOtherFormats = async (file: RangeFile): Promise<void> => {
  const start = await file.read(0, Math.min(file.size, 4))
  const isZip = start[0] === 0x50 && start[1] === 0x4b
  if (!isZip && start[0] === 0x80) {
    throw file.error('it is in the format of PyTorch before 1.6: save it anew with torch.save')
  }
  if (!isZip) throw file.error('it is no file of torch.save')
}

export class TorchFile implements TensorFile {
  readonly tensors: ReadonlyMap<string, PlacedTensor>
  readonly #file: RangeFile
  readonly #checksums: StorageChecksums

  private constructor(file: RangeFile, tensors: ReadonlyMap<string, PlacedTensor>) {
    this.#file = file
    this.tensors = tensors
    this.#checksums = new StorageChecksums(file)
  }

  /** @throws ModelFolderError when the file is missing, not sound or would run something */
  static open(path: string): Promise<TorchFile> {
    return RangeFile.openFor(path, async (file) => {
      await refuseOtherFormats(file)
      const entries = entriesInside(file, await readZip(file))
      const entry = entries.get('data.pkl')
      if (entry === undefined) throw file.error('it has no data.pkl')
      await requireLittleEndian(file, entries)
      const pickle = await readSmallEntry(file, 'data.pkl', entry)
      const tensors = new Map<string, PlacedTensor>()
      for (const [name, tensor] of parseTensors(path, pickle)) {
        tensors.set(name, place(file, name, tensor, entries))
      }
      return new TorchFile(file, tensors)
    })
  }

  /** The checksum of the tensor's storage is compared, too, when the tensor is read whole. */
  async *readFloat32(name: string, rows?: RowRange): AsyncGenerator<Float32Array, void> {
    const tensor = this.#tensor(name)
    const found = this.locate(name)
    if (!isWhole(tensor, rows)) {
      yield* readRows(this.#file, found, { rows })
      return
    }
    if (!tensor.fillsStorage) await this.verify(name)
    let sum = 0
    const see = (bytes: Uint8Array): void => {
      sum = crc32(bytes, sum)
    }
    yield* readRows(this.#file, found, tensor.fillsStorage ? { see } : {})
    if (tensor.fillsStorage) this.#checksums.require(tensor.storage, sum)
  }

  /** The place of a tensor that is all of its storage has the storage's checksum. */
  locate(name: string): TensorPlace {
    const tensor = this.#tensor(name)
    if (!tensor.isContiguous) {
      throw this.#file.error(
        `tensor ${name} is a transposed or sliced view, which cannot be read: save it after .contiguous()`,
      )
    }
    const found = tensorPlace(this.#file.path, name, tensor)
    return tensor.fillsStorage ? { ...found, crc32: tensor.storage.crc32 } : found
  }

  async verify(name: string): Promise<void> {
    await this.#checksums.verify(this.#tensor(name).storage)
  }

  #tensor(name: string): PlacedTensor {
    const tensor = this.tensors.get(name)
    if (tensor !== undefined) return tensor
    throw this.#file.error(`it has no tensor ${name}`)
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

const parseTensors = (path: string, pickle: Uint8Array): Map<string, TorchTensor> => {
  try {
    return parseTorchPickle(pickle)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ModelFolderError(path, new Error(`its data.pkl cannot be used: ${reason}`, { cause }))
  }
}
