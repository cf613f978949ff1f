import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Checkpoint } from '../../backend/checkpoint/checkpoint.ts'
import { readConfigText } from '../../backend/checkpoint/config-text.ts'
import { readGenerationConfig } from '../../backend/generation-config.ts'
import { readModelFile, readModelText } from '../../backend/model-file.ts'
import { ModelFolderError } from '../../backend/model-folder-error.ts'
import { ChatTemplate } from '../../backend/tokenizer/chat-template.ts'
import { loadTokenizer } from '../../backend/tokenizer/load-tokenizer.ts'
import { tempFolder } from '../support/temp-folder.ts'

const index = 'model.safetensors.index.json'

/** What reads each of a model folder's small files. */
const readers: readonly (readonly [string, (folder: string) => unknown])[] = [
  ['config.json', readConfigText],
  ['generation_config.json', readGenerationConfig],
  [index, Checkpoint.open],
  ['tokenizer.json', loadTokenizer],
  ['tokenizer.model', loadTokenizer],
  ['tokenizer_config.json', ChatTemplate.load],
  ['chat_template.jinja', ChatTemplate.load],
]

test.each(readers)('%s must be a file, not a folder or what has no end', async (name, read) => {
  const folder = tempFolder()
  const path = join(folder, name)
  if (name !== index) writeFileSync(join(folder, 'model.safetensors'), '')
  symlinkSync('/dev/zero', path)
  await expect((async () => read(folder))()).rejects.toThrow(`cannot use ${path}: it is no file`)
  const other = tempFolder()
  if (name !== index) writeFileSync(join(other, 'model.safetensors'), '')
  mkdirSync(join(other, name))
  await expect((async () => read(other))()).rejects.toThrow(ModelFolderError)
})

test('a file is not read when it is larger than any such file', () => {
  const path = join(tempFolder(), 'config.json')
  writeFileSync(path, '{}')
  expect([readModelText(path), readModelFile(path)]).toEqual(['{}', Buffer.from('{}')])
  truncateSync(path, 2 ** 40)
  expect(() => readModelFile(path)).toThrow(ModelFolderError)
  expect(() => readModelFile(path)).toThrow('it has 1099511627776 bytes, more than 64000000')
})

test('weights that are a device or a pipe are refused, and so is a model that is one', async () => {
  const folder = tempFolder()
  symlinkSync('/dev/zero', join(folder, 'model.safetensors'))
  await expect(Checkpoint.open(folder)).rejects.toThrow('model.safetensors: it is no file')
  const other = tempFolder()
  execFileSync('mkfifo', [join(other, 'pytorch_model.bin'), join(other, 'config.json')])
  await expect(Checkpoint.open(other)).rejects.toThrow('pytorch_model.bin: it is no file')
  await expect(readConfigText(other)).rejects.toThrow('config.json: it is no file')
  await expect(Checkpoint.open('/dev/zero')).rejects.toThrow(
    'cannot use /dev/zero: it is neither a folder nor a .gguf file',
  )
})

test('a message is of one line and some length, whatever names a file has', () => {
  const { message } = new ModelFolderError('x', `a\u001b[2J\nb${'c'.repeat(100_000)}`)
  expect(message.startsWith('cannot use x: a [2J bccc')).toBe(true)
  expect(message.length).toBeLessThan(1100)
})
