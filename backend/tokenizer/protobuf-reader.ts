/**
 * Reads the wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/):
 * enough for messages of scalars, strings and messages. Trusts no length it is given.
 */

/** One field as it stands in the message; the schema says what its bytes mean. */
export type ProtobufField = {
  readonly number: number
  /** A varint's value, 0 for other wire types. */
  readonly varint: number
  /** The bytes of a fixed-size or length-delimited field, a view; empty for a varint. */
  readonly bytes: Uint8Array
}

const fixedBytes: Readonly<Record<number, number>> = { 1: 8, 5: 4 }
const empty = new Uint8Array(0)
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The fields of a message in the order they stand. @throws Error when it is cut off or no protobuf */
export function* protobufFields(message: Uint8Array): Generator<ProtobufField> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1, count = 0; count < 10; count += 1, scale *= 128) {
      const byte = message[at]
      if (byte === undefined) throw new Error('it is cut off inside a number')
      at += 1
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    throw new Error('it has a number of more than 10 bytes')
  }
  while (at < message.length) {
    const tag = varint()
    const number = Math.floor(tag / 8)
    const wireType = tag % 8
    if (number === 0 || number > 0x1fffffff)
      throw new Error(`it has the impossible field ${number}`)
    if (wireType === 0) {
      yield { number, varint: varint(), bytes: empty }
      continue
    }
    const length = wireType === 2 ? varint() : fixedBytes[wireType]
    if (length === undefined) throw new Error(`field ${number} has the unknown type ${wireType}`)
    if (length > message.length - at) {
      throw new Error(
        `field ${number} would have ${length} bytes where ${message.length - at} are left`,
      )
    }
    yield { number, varint: 0, bytes: message.subarray(at, at + length) }
    at += length
  }
}

/** @throws Error unless the field holds 4 bytes */
export const protobufFloat = ({ number, bytes }: ProtobufField): number => {
  if (bytes.length !== 4) throw new Error(`field ${number} is no float`)
  return new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true)
}

/** @throws TypeError when the bytes are no UTF-8 */
export const protobufString = ({ bytes }: ProtobufField): string => utf8.decode(bytes)
