/** A tensor over memory that JavaScript owns: a typed array or a view of a SharedArrayBuffer. */
import { dataTypes, type DataType } from '../onnx/data-type.ts'
import type { OrtApi, Pointer } from './api.ts'
import type { Environment } from './environment.ts'
import { ClosedError } from './error.ts'

/** Arrays whose element type is plain; 16-bit floats travel as Uint16Array and say their type. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Int32Array
  | BigInt64Array

const typeOf = (data: TensorData): DataType => {
  if (data instanceof Float32Array) return 'float32'
  if (data instanceof Float64Array) return 'float64'
  if (data instanceof Uint8Array) return 'uint8'
  if (data instanceof Int8Array) return 'int8'
  if (data instanceof Uint16Array) return 'uint16'
  if (data instanceof Int16Array) return 'int16'
  if (data instanceof Int32Array) return 'int32'
  return 'int64'
}

/** Refusals inside ONNX Runtime leak memory there: what can be checked is checked here. */
const check = (type: DataType, data: TensorData, dims: readonly number[]): void => {
  const shape = `${type}[${dims.join(', ')}]`
  if (dims.some((dim) => !Number.isSafeInteger(dim) || dim < 0)) {
    throw new RangeError(`tensor ${shape}: dimensions must be whole numbers, 0 or more`)
  }
  if (data.BYTES_PER_ELEMENT !== dataTypes[type].bytes) {
    throw new TypeError(`tensor ${shape}: ${data.constructor.name} does not hold ${type}`)
  }
  const numElements = dims.reduce((product, dim) => product * dim, 1)
  if (numElements !== data.length) {
    throw new RangeError(
      `tensor ${shape} has ${numElements} elements, but the data has ${data.length}`,
    )
  }
  // Resizing gives pages back that ONNX Runtime would still read and write.
  if (data.buffer instanceof ArrayBuffer && data.buffer.resizable) {
    throw new TypeError(`tensor ${shape}: the data must not be in a resizable ArrayBuffer`)
  }
}

export class Tensor {
  readonly type: DataType
  readonly dims: readonly number[]
  /**
   * The memory itself: written here, read by the next run, and the other way round. It must not be
   * transferred to another thread while a tensor or a binding uses it.
   */
  readonly data: TensorData
  readonly #api: OrtApi
  #pointer: Pointer | null

  /**
   * @param dims their product is `data.length`; none make a scalar
   * @param type where it does not follow from the array: `float16`, `bfloat16`, `bool`
   * @throws RangeError or TypeError when data, dims and type do not fit together
   */
  constructor(
    environment: Environment,
    data: TensorData,
    dims: readonly number[],
    type: DataType = typeOf(data),
  ) {
    check(type, data, dims)
    this.type = type
    this.dims = [...dims]
    this.data = data
    this.#api = environment.api
    this.#pointer = environment.api.createTensorWithDataAsOrtValue(
      environment.cpuMemory,
      data,
      data.byteLength,
      BigInt64Array.from(dims, BigInt),
      dims.length,
      dataTypes[type].number,
    )
  }

  /** @throws ClosedError */
  get pointer(): Pointer {
    if (this.#pointer === null) throw new ClosedError('tensor')
    return this.#pointer
  }

  /** Idempotent. Bindings that have it go on: they hold the memory and the value themselves. */
  close(): void {
    if (this.#pointer === null) return
    this.#api.releaseValue(this.#pointer)
    this.#pointer = null
  }
}
