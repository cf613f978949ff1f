/** The element types of ONNX tensors; ONNX Runtime's C API numbers them alike. */

/** `number`: onnx.proto `TensorProto.DataType` = `ONNXTensorElementDataType`. */
export const dataTypes = {
  float32: { number: 1, bytes: 4 },
  uint8: { number: 2, bytes: 1 },
  int8: { number: 3, bytes: 1 },
  uint16: { number: 4, bytes: 2 },
  int16: { number: 5, bytes: 2 },
  int32: { number: 6, bytes: 4 },
  int64: { number: 7, bytes: 8 },
  bool: { number: 9, bytes: 1 },
  float16: { number: 10, bytes: 2 },
  float64: { number: 11, bytes: 8 },
  bfloat16: { number: 16, bytes: 2 },
} as const satisfies Readonly<Record<string, { readonly number: number; readonly bytes: number }>>

export type DataType = keyof typeof dataTypes
