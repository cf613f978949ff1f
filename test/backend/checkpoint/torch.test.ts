import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { TorchFile } from '../../../backend/checkpoint/torch-file.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { checkpointFixture, readTensor } from '../../support/checkpoint-fixtures.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { writeTorch, type ZipOptions } from './write-torch.ts'

const open = (bytes: Uint8Array): Promise<TorchFile> => {
  const path = join(tempFolder(), 'x.bin')
  writeFileSync(path, bytes)
  return TorchFile.open(path)
}

test('views are read where they are whole rows of their storage, else refused by name', async () => {
  const file = await TorchFile.open(checkpointFixture('odd/views.bin'))
  const values = {
    shapes: [...file.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape]),
    whole: await readTensor(file, 'whole'),
    rows: await readTensor(file, 'rows'),
    lastRow: await readTensor(file, 'rows', { firstRow: 1, numRows: 1 }),
    scalar: await readTensor(file, 'scalar'),
  }
  for (const name of ['transposed', 'columns']) {
    await expect(readTensor(file, name)).rejects.toThrow(
      `tensor ${name} is a transposed or sliced view, which cannot be read: save it after .contiguous()`,
    )
  }
  await expect(readTensor(file, 'integers')).rejects.toThrow('tensor integers is I64; weights must')
  await expect(readTensor(file, 'epoch')).rejects.toThrow('it has no tensor epoch')
  await file.close()
  await file.close()
  expect(values).toEqual({
    shapes: [
      ['whole', 'F32', [4, 6]],
      ['rows', 'F32', [2, 6]],
      ['transposed', 'F32', [6, 4]],
      ['columns', 'F32', [4, 2]],
      ['scalar', 'BF16', []],
      ['integers', 'I64', [3]],
    ],
    whole: Array.from({ length: 24 }, (_, i) => i),
    rows: Array.from({ length: 12 }, (_, i) => i + 6),
    lastRow: Array.from({ length: 6 }, (_, i) => i + 12),
    scalar: [3.5],
  })
})

test.each([
  ['command', 'its data.pkl cannot be used: it uses "posix system", which is not allowed'],
  ['module', 'its data.pkl cannot be used: it uses "torch.nn.modules.linear Linear", which is'],
  [
    'nested',
    'its data.pkl cannot be used: it is no dictionary of tensors by name: save the state_dict of the model',
  ],
  ['legacy', 'it is in the format of PyTorch before 1.6: save it anew with torch.save'],
  [
    'script',
    'its entry script/code/__torch__/torch/nn/modules/linear.py is compressed or encrypted',
  ],
])('a file with %s is refused', async (name, message) => {
  const path = checkpointFixture(`odd/${name}.bin`)
  await expect(TorchFile.open(path)).rejects.toThrow(ModelFolderError)
  await expect(TorchFile.open(path)).rejects.toThrow(`cannot use ${path}: ${message}`)
})

/** A state dict {x: float32[2]} over the storage 0, but with another end of its pickle. */
const pickle = (end: string): Uint8Array => Buffer.from(end, 'latin1')

const storage = (type: string, key: string, numElements: number): string =>
  `(X\x07\0\0\0storagectorch\n${type}\nX\x01\0\0\0${key}X\x03\0\0\0cpuK${String.fromCharCode(numElements)}tQ`

const tensor = (from: string, offset: number, length: number, stride = 1): string => {
  const byte = (value: number): string => `K${String.fromCharCode(value)}`
  return `ctorch._utils\n_rebuild_tensor_v2\n(${from}${byte(offset)}${byte(length)}\x85${byte(stride)}\x85\x89ccollections\nOrderedDict\n)RtR`
}

const state = (value: string): string => `\x80\x02}X\x01\0\0\0x${value}s.`
const sound = state(tensor(storage('FloatStorage', '0', 2), 0, 2))
const data = new Uint8Array(Float32Array.of(1, 2).buffer)

const build = (text: string, options: ZipOptions = {}): Uint8Array =>
  writeTorch({ 'data.pkl': pickle(text), 'data/0': data }, options)

test.each<[string, ZipOptions]>([
  ['as small files are', {}],
  ['with 64-bit sizes throughout', { isZip64: true }],
  ['with descriptors', { hasDescriptors: true }],
  ['with 64-bit sizes and descriptors', { isZip64: true, hasDescriptors: true }],
])('an archive is read %s', async (_name, options) => {
  const file = await open(build(sound, options))
  expect(await readTensor(file, 'x')).toEqual([1, 2])
  await file.close()
})

test.each<[string, string]>([
  ['', 'it is cut off'],
  ['\x80\x04.', 'only protocol 2 is supported'],
  ['\x80\x02', 'it is cut off'],
  ['\x80\x02.', 'its stack is empty'],
  ['\x80\x02}}.', 'it goes on after its end'],
  ['\x80\x02}.N', 'it goes on after its end'],
  ['\x80\x02}t.', 'its stack has no mark'],
  ['\x80\x02(.', 'its stack is empty'],
  ['\x80\x02h\x05.', 'it gets 5, which was never put'],
  ['\x80\x02X\xff\xff\xff\xffx.', 'it is cut off'],
  ['\x80\x02X\x01\0\0\0\xff.', 'not valid for encoding utf-8'],
  ['\x80\x02ccollections\nOrderedDict', 'it is cut off or has a name of over 256 bytes'],
  [`\x80\x02c${'x'.repeat(300)}\nx\n.`, 'it is cut off or has a name of over 256 bytes'],
  [
    '\x80\x02cbuiltins\neval\nX\x01\0\0\x001\x85R.',
    'it uses "builtins eval", which is not allowed',
  ],
  ['\x80\x02ctorch\nFloatStorage\n)R.', 'it calls torch FloatStorage, which is not allowed'],
  ['\x80\x02}\x85R.', 'its stack is empty'],
  ['\x80\x02}}R.', 'it calls what is no function'],
  ['\x80\x02ccollections\nOrderedDict\nNR.', 'without a list of arguments'],
  ['\x80\x02ccollections\nOrderedDict\n}\x85R.', 'it makes an OrderedDict of arguments'],
  ['\x80\x02]}b.', 'it sets attributes of what is no dictionary'],
  ['\x80\x02}Na.', 'it appends to what is no list'],
  ['\x80\x02]NNs.', 'it sets items of what is no dictionary'],
  ['\x80\x02}(Nu.', 'it sets a key without a value'],
  ['\x80\x02}]Ns.', 'it has an odd key'],
  ['\x80\x02}K\x01NsK\x01Ns.', 'it sets the key 1 twice'],
  ['\x80\x02\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x01.', 'it has an integer beyond 2^53'],
  ['\x80\x02\x81.', 'operation 0x81 is not allowed'],
  ['\x80\x02i.', 'operation 0x69 is not allowed'],
  ['\x80\x02}.', 'it is no dictionary of tensors by name'],
  ['\x80\x02].', 'it is no dictionary of tensors by name'],
  ['\x80\x02}X\x01\0\0\0xX\x01\0\0\0ys.', 'it is no dictionary of tensors by name'],
  ['\x80\x02NQ.', 'it refers to something that is no storage of a known type'],
  [state(tensor('N', 0, 2)), 'it rebuilds a tensor from what cannot be one'],
  [
    state(`ctorch._utils\n_rebuild_parameter\n}\x85R`),
    'it rebuilds a parameter from what is no tensor',
  ],
  [state(tensor(storage('QInt8Storage', '0', 2), 0, 2)), 'it uses "torch QInt8Storage", which is'],
  [state(tensor(storage('FloatStorage', '1', 2), 0, 2)), 'x is of storage 1, which is missing'],
  [
    state(tensor(storage('FloatStorage', '0', 3), 0, 2)),
    'storage 0 has 8 bytes, but should have 3 of F32',
  ],
  [
    state(tensor(storage('HalfStorage', '0', 2), 0, 2)),
    'storage 0 has 8 bytes, but should have 2 of F16',
  ],
  [
    state(tensor(storage('FloatStorage', '0', 2), 0, 3)),
    'tensor x ends at element 3 of a storage of 2',
  ],
  [
    state(tensor(storage('FloatStorage', '0', 2), 1, 2)),
    'tensor x ends at element 3 of a storage of 2',
  ],
])('the pickle %j is refused', async (text, message) => {
  await expect(open(build(text))).rejects.toThrow(ModelFolderError)
  await expect(open(build(text))).rejects.toThrow(message)
})

test('a pickle of endless operations ends', async () => {
  await expect(open(build(`\x80\x02${'N0'.repeat(10)}.`))).rejects.toThrow('0x30 is not allowed')
  const many = `\x80\x02${'}'.repeat(500_001)}`
  await expect(open(build(many))).rejects.toThrow('it has more than 500000 operations')
})

const patched = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
  const copy = Uint8Array.from(bytes)
  copy[at < 0 ? copy.length + at : at] = value
  return copy
}

const archive = build(sound)

test.each<[string, Uint8Array, string]>([
  ['no bytes', new Uint8Array(0), 'it is no file of torch.save'],
  ['its beginning', archive.subarray(0, 10), 'it does not end as a ZIP archive does'],
  ['its last byte cut off', archive.subarray(0, -1), 'it does not end as a ZIP archive does'],
  ['bytes after its end', Buffer.concat([archive, Buffer.alloc(1)]), 'it does not end as a ZIP'],
  [
    'another number of entries',
    patched(archive, -12, 3),
    'lists 2 entries, but says that it has 3',
  ],
  ['another place of the list', patched(archive, -6, 1), 'it does not end as a ZIP archive does'],
  [
    'a damaged pickle',
    patched(archive, 50, 0x71),
    'its data.pkl is damaged: its checksum is wrong',
  ],
  ['a longer local header', patched(archive, 28, 4), 'its entry x/data.pkl is damaged'],
  ['a broken local header', patched(archive, 2, 0), 'its entry x/data.pkl is damaged'],
  ['compressed entries', build(sound, { method: 8 }), 'is compressed or encrypted'],
  ['encrypted entries', build(sound, { flags: 1 }), 'is compressed or encrypted'],
  ['no data.pkl', writeTorch({ 'data/0': data }), 'it has not one data.pkl'],
  [
    'the other byte order',
    writeTorch({ 'data.pkl': pickle(sound), 'data/0': data, byteorder: Buffer.from('big') }),
    'its byte order is not little-endian',
  ],
])('an archive with %s is refused', async (_name, bytes, message) => {
  await expect(open(bytes)).rejects.toThrow(ModelFolderError)
  await expect(open(bytes)).rejects.toThrow(message)
})
