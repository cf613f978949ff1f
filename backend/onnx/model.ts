/**
 * Encodes a model as an ONNX file. Field numbers from onnx.proto; IR version 10, operator set 21,
 * and com.microsoft 1 for ONNX Runtime's own operators.
 */
import { dataTypes, type DataType } from './data-type.ts'
import { ProtobufWriter } from './protobuf.ts'

const irVersion = 10
const operatorSets = { '': 21, 'com.microsoft': 1 } as const

/** One of onnx.proto's kinds; ONNX does not tell 1 from 1.0 by itself, so each says which it is. */
export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string }

export type Node = {
  readonly operator: string
  /** Default: the standard operators. */
  readonly domain?: keyof typeof operatorSets
  /** Names of values; an empty name leaves an optional one out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, Attribute>>
}

export type ValueInfo = {
  readonly name: string
  readonly type: DataType
  /** A number, or the name of a dimension that is only known when the model runs. */
  readonly dims: readonly (number | string)[]
}

/** Where a weight's little-endian bytes lie in another file. */
export type ExternalData = {
  /** Relative to the model's folder. */
  readonly location: string
  readonly offset: number
  readonly numBytes: number
}

export type Initializer = {
  readonly name: string
  readonly type: DataType
  readonly dims: readonly number[]
  /** The bytes themselves, for small tensors, or where they are. */
  readonly data: Uint8Array | ExternalData
}

export type Graph = {
  readonly name: string
  readonly nodes: readonly Node[]
  readonly initializers: readonly Initializer[]
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
}

/** AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20. */
const encodeAttribute = (name: string, value: Attribute): ProtobufWriter => {
  const writer = new ProtobufWriter().string(1, name)
  if ('float' in value) return writer.float(2, value.float).int(20, 1)
  if ('int' in value) return writer.int(3, value.int).int(20, 2)
  if ('string' in value) return writer.string(4, value.string).int(20, 3)
  for (const int of value.ints) writer.int(8, int)
  return writer.int(20, 7)
}

/** NodeProto: input 1, output 2, name 3, op_type 4, attribute 5, domain 7. */
const encodeNode = (node: Node): ProtobufWriter => {
  const writer = new ProtobufWriter()
  for (const input of node.inputs) writer.string(1, input)
  for (const output of node.outputs) writer.string(2, output)
  writer.string(3, node.outputs[0] ?? node.operator).string(4, node.operator)
  for (const [name, value] of Object.entries(node.attributes ?? {})) {
    writer.message(5, encodeAttribute(name, value))
  }
  return writer.string(7, node.domain ?? '')
}

/** ValueInfoProto: name 1, type 2 = TypeProto.Tensor 1 of elem_type 1 and shape 2 of dim 1. */
const encodeValueInfo = ({ name, type, dims }: ValueInfo): ProtobufWriter => {
  const shape = new ProtobufWriter()
  for (const dim of dims) {
    const dimension = new ProtobufWriter()
    shape.message(1, typeof dim === 'number' ? dimension.int(1, dim) : dimension.string(2, dim))
  }
  const tensor = new ProtobufWriter().int(1, dataTypes[type].number).message(2, shape)
  return new ProtobufWriter().string(1, name).message(2, new ProtobufWriter().message(1, tensor))
}

/** TensorProto: dims 1, data_type 2, name 8, raw_data 9, external_data 13, data_location 14. */
const encodeInitializer = ({ name, type, dims, data }: Initializer): ProtobufWriter => {
  const numBytes = dims.reduce((product, dim) => product * dim, dataTypes[type].bytes)
  const given = data instanceof Uint8Array ? data.length : data.numBytes
  if (given !== numBytes) {
    throw new RangeError(
      `initializer ${name}: ${type}[${dims.join(', ')}] takes ${numBytes} bytes, not ${given}`,
    )
  }
  const writer = new ProtobufWriter()
  for (const dim of dims) writer.int(1, dim)
  writer.int(2, dataTypes[type].number).string(8, name)
  if (data instanceof Uint8Array) return writer.bytes(9, data)
  const entries = { location: data.location, offset: `${data.offset}`, length: `${data.numBytes}` }
  for (const [key, value] of Object.entries(entries)) {
    writer.message(13, new ProtobufWriter().string(1, key).string(2, value))
  }
  return writer.int(14, 1)
}

/** GraphProto: node 1, name 2, initializer 5, input 11, output 12. */
const encodeGraph = (graph: Graph): ProtobufWriter => {
  const writer = new ProtobufWriter()
  for (const node of graph.nodes) writer.message(1, encodeNode(node))
  writer.string(2, graph.name)
  for (const initializer of graph.initializers) writer.message(5, encodeInitializer(initializer))
  for (const input of graph.inputs) writer.message(11, encodeValueInfo(input))
  for (const output of graph.outputs) writer.message(12, encodeValueInfo(output))
  return writer
}

/**
 * ModelProto: ir_version 1, producer_name 2, graph 7, opset_import 8 (domain 1, version 2).
 * @throws RangeError for an initializer whose bytes do not fit its dims
 */
export const encodeModel = (graph: Graph): Uint8Array => {
  const writer = new ProtobufWriter().int(1, irVersion).string(2, 'burrow')
  writer.message(7, encodeGraph(graph))
  for (const [domain, version] of Object.entries(operatorSets)) {
    writer.message(8, new ProtobufWriter().string(1, domain).int(2, version))
  }
  return writer.finish()
}
