/**
 * Reads `data.pkl` of a PyTorch file: which tensor lies where in which storage. The forms are those
 * of `torch/_utils.py` (`_rebuild_tensor_v2`, `_rebuild_parameter`) and `torch/serialization.py`.
 */
import { PickleGlobal, unpickle } from './unpickle.ts'

/** Storage classes by name, with the names that safetensors has for their types. */
const storageTypes: ReadonlyMap<string, { readonly dtype: string; readonly elementBytes: number }> =
  new Map([
    ['torch DoubleStorage', { dtype: 'F64', elementBytes: 8 }],
    ['torch FloatStorage', { dtype: 'F32', elementBytes: 4 }],
    ['torch HalfStorage', { dtype: 'F16', elementBytes: 2 }],
    ['torch BFloat16Storage', { dtype: 'BF16', elementBytes: 2 }],
    ['torch LongStorage', { dtype: 'I64', elementBytes: 8 }],
    ['torch IntStorage', { dtype: 'I32', elementBytes: 4 }],
    ['torch ShortStorage', { dtype: 'I16', elementBytes: 2 }],
    ['torch CharStorage', { dtype: 'I8', elementBytes: 1 }],
    ['torch ByteStorage', { dtype: 'U8', elementBytes: 1 }],
    ['torch BoolStorage', { dtype: 'BOOL', elementBytes: 1 }],
  ])

class Storage {
  readonly dtype: string
  readonly elementBytes: number
  /** The archive's entry `data/KEY`. */
  readonly key: string
  readonly numElements: number

  constructor(dtype: string, elementBytes: number, key: string, numElements: number) {
    this.dtype = dtype
    this.elementBytes = elementBytes
    this.key = key
    this.numElements = numElements
  }
}

/** A view of a storage. Offset and strides count elements. */
export class TorchTensor {
  readonly storage: Storage
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]

  constructor(
    storage: Storage,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0

const isCountList = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length <= 8 && value.every(isCount)

const loadStorage = (id: unknown): Storage => {
  const [kind, type, key, , numElements] = Array.isArray(id) ? id : []
  const known = type instanceof PickleGlobal ? storageTypes.get(type.name) : undefined
  if (kind === 'storage' && known && typeof key === 'string' && isCount(numElements)) {
    return new Storage(known.dtype, known.elementBytes, key, numElements)
  }
  throw new Error('it refers to something that is no storage of a known type')
}

const rebuildTensor = ([storage, offset, shape, strides]: readonly unknown[]): TorchTensor => {
  const isSound =
    storage instanceof Storage &&
    isCount(offset) &&
    isCountList(shape) &&
    isCountList(strides) &&
    shape.length === strides.length
  if (!isSound) throw new Error('it rebuilds a tensor from what cannot be one')
  // Copies: a list could be appended to later.
  return new TorchTensor(storage, offset, [...shape], [...strides])
}

const rebuildParameter = ([tensor]: readonly unknown[]): TorchTensor => {
  if (tensor instanceof TorchTensor) return tensor
  throw new Error('it rebuilds a parameter from what is no tensor')
}

const orderedDict = (args: readonly unknown[]): Map<unknown, unknown> => {
  if (args.length === 0) return new Map()
  throw new Error('it makes an OrderedDict of arguments')
}

const globals = new Map<string, ((args: readonly unknown[]) => unknown) | null>([
  ['collections OrderedDict', orderedDict],
  ['torch._utils _rebuild_tensor_v2', rebuildTensor],
  ['torch._utils _rebuild_parameter', rebuildParameter],
  ...[...storageTypes.keys()].map((name) => [name, null] as const),
])

/**
 * The tensors of a state dict by name. What is no tensor in it is left out.
 * @throws Error for a pickle that is damaged, uses what is not allowed or holds no such dictionary
 */
export const parseTorchPickle = (bytes: Uint8Array): Map<string, TorchTensor> => {
  const root = unpickle(bytes, { globals, persistentLoad: loadStorage })
  const tensors = new Map<string, TorchTensor>()
  for (const [name, tensor] of root instanceof Map ? root : []) {
    if (typeof name === 'string' && tensor instanceof TorchTensor) tensors.set(name, tensor)
  }
  if (tensors.size > 0) return tensors
  throw new Error('it is no dictionary of tensors by name: save the state_dict of the model')
}
