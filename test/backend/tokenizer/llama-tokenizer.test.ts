import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import {
  fixtureBytes,
  readGolden,
  readLlamaGolden,
  texts,
} from '../../support/tokenizer-fixtures.ts'

const golden = readLlamaGolden()

const folderWith = (files: Record<string, object>): string => {
  const folder = tempFolder()
  writeFileSync(join(folder, 'tokenizer.model'), fixtureBytes('llama-bpe.model'))
  for (const [name, value] of Object.entries(files)) {
    writeFileSync(join(folder, name), JSON.stringify(value))
  }
  return folder
}

/** `legacy: false` of transformers' slow tokenizer leaves a lone ▁ before an added token; its fast one and ours do not. */
const isQuirk = (text: string): boolean => text.startsWith('<tool>')

test.each(['legacy', 'modern'] as const)(
  "%s: ids are those of transformers' LlamaTokenizer, with added and special tokens",
  (kind) => {
    const { files, ids, withoutSpecials } = golden[kind]
    const tokenizer = loadTokenizer(folderWith(files))
    const compare = (
      texts: readonly string[],
      ids: readonly number[][],
      addSpecialTokens: boolean,
    ) => {
      const rows = texts.map((text, index) => ({ text, ids: ids[index] }))
      const kept = kind === 'legacy' ? rows : rows.filter(({ text }) => !isQuirk(text))
      expect(
        kept.map(({ text }) => ({ text, ids: tokenizer.encode(text, addSpecialTokens) })),
      ).toEqual(kept)
      expect(rows.length - kept.length).toBeLessThanOrEqual(3)
    }
    compare(golden.texts, ids, true)
    compare(golden.specials, withoutSpecials, false)
  },
)

test('special tokens are left out of the text, added ones are not', () => {
  const tokenizer = loadTokenizer(folderWith(golden.legacy.files))
  const decode = (text: string): string => tokenizer.decode(tokenizer.encode(text, true))
  expect(['<s>Hello', 'a</s>b', '<tool>call</tool>', '  two', '你好 🐯'].map(decode)).toEqual([
    'Hello',
    'a b',
    '<tool> call</tool>',
    '  two',
    '你好 🐯',
  ])
})

test('a tokenizer.model alone gives text with <s> before it, and each text comes back', () => {
  const tokenizer = loadTokenizer(folderWith({}))
  const plain = texts.filter((text) => !/<\/?s>|<unk>|\u2581/.test(text))
  expect(plain.map((text) => tokenizer.decode(tokenizer.encode(text, true)))).toEqual(plain)
  expect(tokenizer.encode('a', true)).toEqual([1, ...tokenizer.encode('a', false)])
})

test('added_tokens_decoder of the configuration stands for the older files', () => {
  const folder = folderWith({
    'added_tokens.json': { '<old>': 900 },
    'tokenizer_config.json': {
      add_bos_token: false,
      add_eos_token: true,
      added_tokens_decoder: {
        '700': { content: '<new>', special: true, lstrip: false, rstrip: true, single_word: false },
      },
    },
  })
  const tokenizer = loadTokenizer(folder)
  expect(tokenizer.encode('<new>   a', true)).toEqual([700, ...tokenizer.encode('a', true)])
  expect(tokenizer.encode('a', true).at(-1)).toBe(2)
  expect(tokenizer.encode('<old>', false)).not.toContain(900)
})

test('an id without a token, as a padded vocabulary has, gives no text', () => {
  const tokenizer = loadTokenizer(folderWith({}))
  expect(tokenizer.decode([...tokenizer.encode('ab', true), 5000])).toBe('ab')
})

test('the ids of the golden texts decode as SentencePiece decodes them', () => {
  const tokenizer = loadTokenizer(folderWith({}))
  const { randomIds, randomDecoded } = readGolden('llama-bpe.json')
  const rows = randomIds.map((ids, index) => ({ ids, text: randomDecoded[index] }))
  const withoutSpecials = rows.filter(({ ids }) => ids.every((id) => id > 2))
  expect(withoutSpecials.length).toBeGreaterThan(80)
  expect(withoutSpecials.map(({ ids }) => ({ ids, text: tokenizer.decode(ids) }))).toEqual(
    withoutSpecials,
  )
})

test('a damaged tokenizer.model is named in the error', () => {
  const folder = folderWith({})
  const path = join(folder, 'tokenizer.model')
  writeFileSync(path, fixtureBytes('llama-bpe.model').subarray(0, 5000))
  expect(() => loadTokenizer(folder)).toThrow(ModelFolderError)
  expect(() => loadTokenizer(folder)).toThrow(`cannot use ${path}: `)
})

test('an added token without a proper id is named in the error', () => {
  const folder = folderWith({ 'added_tokens.json': { '<pad>': -1 } })
  expect(() => loadTokenizer(folder)).toThrow(
    new ModelFolderError(join(folder, 'added_tokens.json'), 'token "<pad>" has no proper id'),
  )
})

test('the least number of tokens is never more than there are', () => {
  const tokenizer = loadTokenizer(folderWith(golden.legacy.files))
  for (const text of texts) {
    expect(tokenizer.minTokens(text)).toBeLessThanOrEqual(tokenizer.encode(text, true).length)
  }
  const spaces = `${' '.repeat(10_000)}<|user|>`
  expect(tokenizer.minTokens(spaces)).toBeLessThanOrEqual(tokenizer.encode(spaces, false).length)
  expect(tokenizer.minTokens('x'.repeat(100_000))).toBeGreaterThan(1_000)
})
