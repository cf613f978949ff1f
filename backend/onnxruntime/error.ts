/** The errors of ONNX Runtime, and how its statuses become them. */

/** Names of `OrtErrorCode`, in its order (onnxruntime_c_api.h); 0, success, is never an error. */
const errorCodes = [
  'ok',
  'fail',
  'invalid_argument',
  'no_such_file',
  'no_model',
  'engine_error',
  'runtime_exception',
  'invalid_protobuf',
  'model_loaded',
  'not_implemented',
  'invalid_graph',
  'execution_provider_failed',
  'model_load_canceled',
  'model_requires_compilation',
  'not_found',
] as const

export type OrtErrorCode = (typeof errorCodes)[number] | 'unknown'

/** A call that ONNX Runtime refused. The message is its own, after the name of the call. */
export class OrtError extends Error {
  override readonly name = 'OrtError'
  readonly code: OrtErrorCode
  /** The function of the C API, e.g. `CreateSession`. */
  readonly call: string

  constructor(call: string, code: number, message: string) {
    super(`${call}: ${message}`)
    this.call = call
    this.code = errorCodes[code] ?? 'unknown'
  }
}

/** Something of ONNX Runtime was used after its `close()`: a mistake in the calling code. */
export class ClosedError extends Error {
  override readonly name = 'ClosedError'

  constructor(what: string) {
    super(`this ${what} is closed`)
  }
}
