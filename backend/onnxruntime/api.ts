/**
 * The functions of ONNX Runtime's C API that Burrow calls: index in `struct OrtApi`, name and C
 * signature (onnxruntime_c_api.h), each as a typed function that throws instead of answering a
 * status. The only file that makes foreign functions; nothing here owns anything.
 */
import koffi, { type TypeObject } from 'koffi'
import { OrtError } from './error.ts'
import { loadLibrary, type Library } from './library.ts'

/** An address in this process. */
export type Pointer = bigint

const pointerBytes = 8

/** ORTCHAR_T: paths are wide on Windows. */
const pathType = process.platform === 'win32' ? 'const char16_t *' : 'const char *'

const bindFunctions = (table: Pointer) => {
  // Prototypes stay anonymous: koffi wants names unique in a process, and each thread makes its own.
  const foreign = (index: number, result: string, parameters: readonly string[]) => {
    const prototype: TypeObject = koffi.proto(result, [...parameters])
    const address: Pointer = koffi.decode(table, index * pointerBytes, 'void *')
    return koffi.decode(address, prototype)
  }
  const getErrorCode: (status: Pointer) => number = foreign(1, 'int', ['void *'])
  const getErrorMessage: (status: Pointer) => string = foreign(2, 'const char *', ['void *'])
  const releaseStatus: (status: Pointer) => void = foreign(93, 'void', ['void *'])

  const fail = (name: string, status: Pointer): never => {
    const error = new OrtError(name, getErrorCode(status), getErrorMessage(status))
    releaseStatus(status)
    throw error
  }
  /** A function that answers a status and nothing else. */
  const command = <Args extends unknown[]>(
    index: number,
    name: string,
    ...parameters: string[]
  ): ((...args: Args) => void) => {
    const call: (...args: Args) => Pointer | null = foreign(index, 'void *', parameters)
    return (...args) => {
      const status = call(...args)
      if (status !== null) fail(name, status)
    }
  }
  // Every out-parameter of this table is one pointer or one size_t: 8 bytes, read at once.
  const out = new BigUint64Array(1)
  /** A function that answers a status, and a value through its last parameter. */
  const query = <Args extends unknown[]>(
    index: number,
    name: string,
    ...parameters: string[]
  ): ((...args: Args) => bigint) => {
    const call: (...args: [...Args, BigUint64Array]) => Pointer | null = foreign(index, 'void *', [
      ...parameters,
      'void *',
    ])
    return (...args) => {
      const status = call(...args, out)
      if (status !== null) fail(name, status)
      return out[0]!
    }
  }
  const release = (index: number): ((pointer: Pointer) => void) =>
    foreign(index, 'void', ['void *'])

  return {
    createEnv: query<[severity: number, id: string]>(3, 'CreateEnv', 'int', 'const char *'),
    createEnvWithGlobalThreadPools: query<[severity: number, id: string, options: Pointer]>(
      119,
      'CreateEnvWithGlobalThreadPools',
      'int',
      'const char *',
      'void *',
    ),
    releaseEnv: release(92),

    createThreadingOptions: query<[]>(121, 'CreateThreadingOptions'),
    setGlobalIntraOpNumThreads: command<[options: Pointer, threads: number]>(
      147,
      'SetGlobalIntraOpNumThreads',
      'void *',
      'int',
    ),
    setGlobalInterOpNumThreads: command<[options: Pointer, threads: number]>(
      148,
      'SetGlobalInterOpNumThreads',
      'void *',
      'int',
    ),
    releaseThreadingOptions: release(122),

    createSessionOptions: query<[]>(10, 'CreateSessionOptions'),
    setSessionLogSeverityLevel: command<[options: Pointer, severity: number]>(
      22,
      'SetSessionLogSeverityLevel',
      'void *',
      'int',
    ),
    setSessionGraphOptimizationLevel: command<[options: Pointer, level: number]>(
      23,
      'SetSessionGraphOptimizationLevel',
      'void *',
      'int',
    ),
    setIntraOpNumThreads: command<[options: Pointer, threads: number]>(
      24,
      'SetIntraOpNumThreads',
      'void *',
      'int',
    ),
    disableCpuMemArena: command<[options: Pointer]>(19, 'DisableCpuMemArena', 'void *'),
    disablePerSessionThreads: command<[options: Pointer]>(
      120,
      'DisablePerSessionThreads',
      'void *',
    ),
    addSessionConfigEntry: command<[options: Pointer, key: string, value: string]>(
      130,
      'AddSessionConfigEntry',
      'void *',
      'const char *',
      'const char *',
    ),
    releaseSessionOptions: release(100),

    createSession: query<[env: Pointer, path: string, options: Pointer]>(
      7,
      'CreateSession',
      'void *',
      pathType,
      'void *',
    ),
    sessionGetInputCount: query<[session: Pointer]>(30, 'SessionGetInputCount', 'void *'),
    sessionGetOutputCount: query<[session: Pointer]>(31, 'SessionGetOutputCount', 'void *'),
    sessionGetInputName: query<[session: Pointer, index: number, allocator: Pointer]>(
      36,
      'SessionGetInputName',
      'void *',
      'size_t',
      'void *',
    ),
    sessionGetOutputName: query<[session: Pointer, index: number, allocator: Pointer]>(
      37,
      'SessionGetOutputName',
      'void *',
      'size_t',
      'void *',
    ),
    releaseSession: release(95),

    getAllocatorWithDefaultOptions: query<[]>(78, 'GetAllocatorWithDefaultOptions'),
    allocatorFree: command<[allocator: Pointer, memory: Pointer]>(
      76,
      'AllocatorFree',
      'void *',
      'void *',
    ),
    /** The C string at an address. */
    readString: (address: Pointer): string => koffi.decode.string(address),

    createCpuMemoryInfo: query<[allocator: number, memory: number]>(
      69,
      'CreateCpuMemoryInfo',
      'int',
      'int',
    ),
    releaseMemoryInfo: release(94),
    /** `data` is borrowed: it must stay reachable and in place for as long as the value is. */
    createTensorWithDataAsOrtValue: query<
      [
        memoryInfo: Pointer,
        data: ArrayBufferView,
        byteLength: number,
        dims: BigInt64Array,
        rank: number,
        elementType: number,
      ]
    >(
      49,
      'CreateTensorWithDataAsOrtValue',
      'void *',
      'void *',
      'size_t',
      'void *',
      'size_t',
      'int',
    ),
    releaseValue: release(96),

    createIoBinding: query<[session: Pointer]>(134, 'CreateIoBinding', 'void *'),
    bindInput: command<[binding: Pointer, name: string, value: Pointer]>(
      136,
      'BindInput',
      'void *',
      'const char *',
      'void *',
    ),
    bindOutput: command<[binding: Pointer, name: string, value: Pointer]>(
      137,
      'BindOutput',
      'void *',
      'const char *',
      'void *',
    ),
    /** `runOptions` may be null. */
    runWithBinding: command<[session: Pointer, runOptions: null, binding: Pointer]>(
      133,
      'RunWithBinding',
      'void *',
      'void *',
      'void *',
    ),
    releaseIoBinding: release(135),
  }
}

export type OrtApi = ReturnType<typeof bindFunctions>

let loaded: { readonly library: Library; readonly api: OrtApi } | undefined

/**
 * The function table. Made once in a thread and kept with its library: koffi keeps each prototype
 * until its thread ends.
 * @throws when the library cannot be used (see library.ts)
 */
export const ortApi = (): OrtApi => {
  if (loaded === undefined) {
    const library = loadLibrary()
    loaded = { library, api: bindFunctions(library.api) }
  }
  return loaded.api
}
