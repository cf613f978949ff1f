/** A tokenizer.json from anywhere: what is wrong with it is said, and what is odd does no harm. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import type { Tokenizer } from '../../../backend/tokenizer/tokenizer.ts'
import { tempFolder } from '../../support/temp-folder.ts'

type Json = Readonly<Record<string, unknown>>

const bpe = (vocab: unknown, fields: Json = {}): Json => ({
  type: 'BPE',
  vocab,
  merges: [],
  ...fields,
})

const letters = { a: 0, b: 1, c: 2 }

const load = (fields: Json): Tokenizer => {
  const folder = tempFolder()
  const base = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Fuse' },
    model: bpe(letters),
  }
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify({ ...base, ...fields }))
  return loadTokenizer(folder)
}

const added = (content: unknown, id: unknown, fields: Json = {}): Json => ({
  content,
  id,
  special: true,
  normalized: false,
  ...fields,
})

test.each<[string, Json, string]>([
  ['an id that is no number', { model: bpe({ a: 'x' }) }, 'token "a" has the id "x"'],
  ['an id that is no whole number', { model: bpe({ a: 1.5 }) }, 'token "a" has the id 1.5'],
  ['a negative id', { model: bpe({ a: -1 }) }, 'token "a" has the id -1'],
  ['an id of four thousand millions', { model: bpe({ a: 4e9 }) }, 'has the id 4000000000'],
  ['an added id beyond all', { added_tokens: [added('x', 4e9)] }, 'has the id 4000000000'],
  ['an added token without an id', { added_tokens: [added('x', undefined)] }, 'token "x" has the'],
  ['an added token that is no text', { added_tokens: [added(5, 3)] }, 'an added token is no text'],
  ['added tokens that are no list', { added_tokens: 5 }, 'added_tokens must be a list'],
  ['no vocabulary', { model: bpe(null) }, 'it has no vocabulary'],
  ['no model', { model: null }, 'it has no vocabulary'],
  [
    'a regex in its decoder',
    { decoder: { type: 'Replace', pattern: { Regex: '(a+)+$' }, content: '' } },
    'its decoder Replace has a regex, which is not supported',
  ],
  [
    'a regex in a part of its decoder',
    {
      decoder: {
        type: 'Sequence',
        decoders: [{ type: 'Replace', pattern: { Regex: 'a' }, content: '' }],
      },
    },
    'its decoder Replace has a regex',
  ],
])('%s is refused', (_name, fields, message) => {
  expect(() => load(fields)).toThrow(ModelFolderError)
  expect(() => load(fields)).toThrow(message)
})

test('steps inside steps a hundred thousand deep are refused', () => {
  const deep = (depth: number): string => {
    const open = '{"type":"Sequence","pretokenizers":['.repeat(depth)
    return `${open}${']}'.repeat(depth)}`
  }
  const folder = tempFolder()
  const path = join(folder, 'tokenizer.json')
  writeFileSync(path, `{"model": {"vocab": {}}, "pre_tokenizer": ${deep(100_000)}}`)
  expect(() => loadTokenizer(folder)).toThrow(ModelFolderError)
})

test('ids may have gaps, and tokens names of everything that objects have', () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
  const vocab = Object.fromEntries([...names.map((name, id) => [name, id]), ['a', 40]])
  const tokenizer = load({ model: bpe(vocab), added_tokens: [added('<x>', 90)] })
  expect(tokenizer.encode('a<x>a', false)).toEqual([40, 90, 40])
  expect(tokenizer.decode([0, 1, 2, 3, 50, 40])).toBe(`${names.join('')}a`)
  expect(tokenizer.tokenBytes(50)).toEqual(new Uint8Array())
  const added2 = load({ added_tokens: names.map((name, index) => added(name, 10 + index)) })
  expect(added2.encode('a__proto__constructor', false)).toEqual([0, 10, 11])
})

test('a character that has no token and no unknown token is left out, as by the original', () => {
  expect(load({}).encode('axb', false)).toEqual([0, 1])
})

test('an added token of no characters is no token', () => {
  const tokenizer = load({ added_tokens: [added('', 7)] })
  expect(tokenizer.encode('abc', false)).toEqual([0, 1, 2])
})

test('the least number of tokens counts what is cut away before', () => {
  const long = `${' '.repeat(100_000)}<x>`
  const stripped = load({ added_tokens: [added('<x>', 9, { lstrip: true })] })
  const removed = load({ pre_tokenizer: { type: 'WhitespaceSplit' } })
  const trimmed = load({ normalizer: { type: 'Strip', strip_left: true, strip_right: true } })
  const replaced = load({
    normalizer: { type: 'Replace', pattern: { String: '  ' }, content: ' ' },
  })
  const composed = load({ normalizer: { type: 'NFC' }, model: bpe({ é: 0 }) })
  for (const [tokenizer, text] of [
    [stripped, long],
    [removed, `a${' '.repeat(1000)}`],
    [trimmed, `a${' '.repeat(1000)}`],
    [replaced, `a${' '.repeat(1000)}`],
    [composed, 'e\u0301'.repeat(1000)],
  ] as const) {
    const tokens = tokenizer.encode(text, false).length
    expect(tokenizer.minTokens(text)).toBeLessThanOrEqual(tokens)
  }
})
