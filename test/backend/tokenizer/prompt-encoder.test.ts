/** No time is asserted: turns of the event loop are counted, and what hangs fails. */
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { loadTextFormat } from '../../../backend/tokenizer/load-tokenizer.ts'
import {
  PromptEncoder,
  type PromptEncoderOptions,
} from '../../../backend/tokenizer/prompt-encoder.ts'
import { InvalidRequest } from '../../../shared/errors.ts'
import { eventually } from '../../support/eventually.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { texts } from '../../support/tokenizer-fixtures.ts'

const encoderOf = async (folder: string, options: PromptEncoderOptions = {}) => {
  const { tokenizer } = await loadTextFormat(folder, 0.1)
  const encoder = new PromptEncoder(tokenizer, folder, options)
  onTestFinished(() => encoder.close())
  return { encoder, tokenizer }
}

/** Turns of this thread's event loop until the promise settles. */
const turnsDuring = async (work: Promise<unknown>): Promise<number> => {
  let turns = 0
  let isDone = false
  const turn = (): void => {
    turns++
    if (!isDone) setImmediate(turn)
  }
  setImmediate(turn)
  await work.finally(() => (isDone = true)).catch(() => {})
  return turns
}

/** A regex that takes some texts for ever. */
const hostileFolder = (): string => {
  const folder = tempFolder()
  const json = {
    added_tokens: [],
    decoder: null,
    normalizer: null,
    post_processor: null,
    model: { type: 'BPE', vocab: { a: 0, '!': 1 }, merges: [] },
    pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated' },
  }
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json))
  copyFileSync(join(bundledModelFolder, 'config.json'), join(folder, 'config.json'))
  writeFileSync(join(folder, 'model.safetensors'), '')
  return folder
}

const endless = `${'a'.repeat(60)}!`

test('the ids are the same here and in the thread', async () => {
  const { encoder, tokenizer } = await encoderOf(bundledModelFolder, { longText: 1 })
  const ids = await Promise.all(texts.map((text, i) => encoder.encode(text, i % 2 === 0)))
  expect(ids).toEqual(texts.map((text, i) => tokenizer.encode(text, i % 2 === 0)))
})

test('a short text needs no thread', async () => {
  const { encoder, tokenizer } = await encoderOf(bundledModelFolder)
  expect(await encoder.encode('3+5=?', true)).toEqual(tokenizer.encode('3+5=?', true))
  expect(encoder.hasThread).toBe(false)
})

test('the event loop turns while a long text is encoded', async () => {
  const { encoder } = await encoderOf(bundledModelFolder)
  expect(await turnsDuring(encoder.encode('你好 world. '.repeat(4_000), true))).toBeGreaterThan(20)
  expect(encoder.hasThread).toBe(true)
})

test('a short text that takes long goes to the thread, and ends there', async () => {
  const { encoder } = await encoderOf(hostileFolder(), { maxSeconds: 0.2 })
  const encoded = encoder.encode(endless, false)
  expect(await turnsDuring(encoded)).toBeGreaterThan(20)
  await expect(encoded).rejects.toThrow(InvalidRequest)
  await expect(encoded).rejects.toThrow('longer than 0.2 s')
  expect(await encoder.encode('aa', false)).toEqual([0, 0])
})

test('whoever leaves is not waited for, nor begun', async () => {
  const { encoder } = await encoderOf(hostileFolder(), { longText: 1, maxSeconds: 0.2 })
  const leaving = new AbortController()
  const running = encoder.encode(endless, false, leaving.signal)
  const waiting = Array.from({ length: 1000 }, () => encoder.encode(endless, false, leaving.signal))
  const staying = encoder.encode('a!', false)
  leaving.abort()
  for (const left of [running, ...waiting])
    await expect(left).rejects.toMatchObject({ status: 499 })
  // Behind a thousand texts of 0.2 s it would be too late for this test.
  expect(await staying).toEqual([0, 1])
  await expect(encoder.encode('a', false, leaving.signal)).rejects.toMatchObject({ status: 499 })
})

test('a thread that cannot start fails its text, and the next one gets another', async () => {
  const folder = hostileFolder()
  const { encoder } = await encoderOf(folder, { longText: 1 })
  const path = join(folder, 'tokenizer.json')
  copyFileSync(path, `${path}.away`)
  writeFileSync(path, 'x')
  await expect(encoder.encode('a', false)).rejects.toThrow('cannot use')
  copyFileSync(`${path}.away`, path)
  expect(await encoder.encode('a', false)).toEqual([0])
})

test('the thread ends when nobody needs it, and comes again', async () => {
  const { encoder, tokenizer } = await encoderOf(bundledModelFolder, { longText: 1, idleMs: 1 })
  for (let round = 0; round < 3; round++) {
    expect(await encoder.encode('3+5=?', true)).toEqual(tokenizer.encode('3+5=?', true))
    await eventually(() => !encoder.hasThread)
  }
})

test('what is not encoded when it closes fails', async () => {
  const { encoder } = await encoderOf(bundledModelFolder, { longText: 1 })
  const encoded = [encoder.encode('3', true), encoder.encode('5', true)]
  const settled = Promise.allSettled(encoded)
  await encoder.close()
  expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(encoder.hasThread).toBe(false)
})
