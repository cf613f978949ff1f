import { expect, test } from 'vitest'
import { ProtobufWriter } from '../../../backend/onnx/protobuf.ts'

const hex = (writer: ProtobufWriter): string => Buffer.from(writer.finish()).toString('hex')

// The first three are the examples of protobuf.dev/programming-guides/encoding.
test.each<[string, ProtobufWriter, string]>([
  ['150', new ProtobufWriter().int(1, 150), '089601'],
  ['a string', new ProtobufWriter().string(2, 'testing'), '120774657374696e67'],
  [
    'a nested message',
    new ProtobufWriter().message(3, new ProtobufWriter().int(1, 150)),
    '1a03089601',
  ],
  ['0', new ProtobufWriter().int(1, 0), '0800'],
  ['-1, ten bytes', new ProtobufWriter().int(1, -1), '08ffffffffffffffffff01'],
  ['2^53-1', new ProtobufWriter().int(1, Number.MAX_SAFE_INTEGER), '08ffffffffffffff0f'],
  ['a field number above 15', new ProtobufWriter().int(20, 7), 'a00107'],
  ['a float', new ProtobufWriter().float(2, 1.5), '150000c03f'],
  ['text beyond ASCII', new ProtobufWriter().string(1, '你'), '0a03e4bda0'],
  ['nothing', new ProtobufWriter(), ''],
])('%s is written as the format says', (_name, writer, bytes) => {
  expect(hex(writer)).toBe(bytes)
})

test('a message grows past its first buffer without losing a byte', () => {
  const data = Uint8Array.from({ length: 100_000 }, (_, i) => i)
  const bytes = new ProtobufWriter().int(1, 1).bytes(9, data).int(2, 2).finish()
  expect(Buffer.from(bytes.subarray(0, 6)).toString('hex')).toBe('08014aa08d06')
  expect(Buffer.from(bytes.subarray(6, -2)).equals(data)).toBe(true)
  expect([...bytes.subarray(-2)]).toEqual([0x10, 2])
})

test.each([0.5, Number.NaN, 2 ** 60])('%d is no whole number to write', (value) => {
  expect(() => new ProtobufWriter().int(1, value)).toThrow('no whole number')
})
