/** What a model's files make endless ends all the same. No time is asserted: a failure hangs. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { ChatTemplate } from '../../../backend/tokenizer/chat-template.ts'
import { HuggingFaceTokenizer } from '../../../backend/tokenizer/hugging-face-tokenizer.ts'
import { TimeLimitExceeded, withTimeLimit } from '../../../backend/tokenizer/time-limit.ts'
import { timeLimited } from '../../../backend/tokenizer/time-limited-tokenizer.ts'
import { InvalidRequest } from '../../../shared/errors.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const forever = (): never => {
  for (;;) /^(a+)+$/.test('a')
}

describe('a time limit', () => {
  test('lets through what is returned and what is thrown', () => {
    expect(withTimeLimit(10, () => 5)).toBe(5)
    expect(withTimeLimit(10, () => undefined)).toBeUndefined()
    const error = new Error('x')
    expect(() =>
      withTimeLimit(10, () => {
        throw error
      }),
    ).toThrow(error)
  })

  test('ends loops and regexes, and then works again', () => {
    expect(() => withTimeLimit(0.05, forever)).toThrow(TimeLimitExceeded)
    const backtracks = (): boolean => /^(a+)+$/.test(`${'a'.repeat(60)}!`)
    expect(() => withTimeLimit(0.05, backtracks)).toThrow('it took longer than 0.05 s')
    expect(withTimeLimit(10, () => 5)).toBe(5)
  })
})

test("a tokenizer.json's regex that backtracks without end makes the request fail", () => {
  const tokenizer = new HuggingFaceTokenizer(
    {
      added_tokens: [],
      decoder: null,
      normalizer: null,
      post_processor: null,
      model: { type: 'BPE', vocab: { a: 0, '!': 1 }, merges: [] },
      pre_tokenizer: {
        type: 'Split',
        pattern: { Regex: '(a+)+$' },
        behavior: 'Isolated',
      },
    },
    {},
  )
  const limited = timeLimited(tokenizer, 0.1)
  expect(() => limited.encode(`${'a'.repeat(60)}!`, false)).toThrow(InvalidRequest)
  expect(() => limited.encode(`${'a'.repeat(60)}!`, false)).toThrow(/longer than 0\.1 s/)
  expect(limited.encode('aa', false)).toEqual([0, 0])
  expect(limited.minTokens('aa')).toBe(tokenizer.minTokens('aa'))
  expect([limited.decode([0]), limited.isSpecial(0), limited.tokenBytes(0)]).toEqual([
    'a',
    false,
    Uint8Array.of(0x61),
  ])
})

const chat = [{ role: 'user', content: 'x' }] as const

const render = (source: string): string =>
  new ChatTemplate(source, {}, 0.2).render(chat, { addGenerationPrompt: true })

test.each([
  ['counts for ever', `{% for a in range(100000) %}${'{% for b in range(100000) %}'.repeat(2)}`],
  ['makes an endless list', '{% set x = range(1000000000) %}'],
])('a template that %s is ended', (_name, start) => {
  const source = `${start}${'{% endfor %}'.repeat(start.split('{% for').length - 1)}`
  expect(() => render(source)).toThrow(InvalidRequest)
  expect(() => render(source)).toThrow('refused the messages: it took longer than 0.2 s')
})

test('a template that doubles a text or calls itself is refused', () => {
  const doubling =
    '{% set n = namespace(t="ab") %}{% for i in range(99) %}{% set n.t = n.t ~ n.t %}'
  expect(() => render(`${doubling}{% endfor %}`)).toThrow('Invalid string length')
  const recursive = '{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}'
  expect(() => render(recursive)).toThrow(InvalidRequest)
})

test.each([
  ['is too long', 'x'.repeat((1 << 20) + 1), 'has more than 1048576 characters'],
  ['is deeper than any', '{{'.concat('('.repeat(200_000)), ''],
])('a template that %s is refused when it is loaded', (_name, source, message) => {
  const folder = tempFolder()
  writeFileSync(join(folder, 'chat_template.jinja'), source)
  expect(() => ChatTemplate.load(folder)).toThrow(ModelFolderError)
  expect(() => ChatTemplate.load(folder)).toThrow(message)
})

test('a template that takes too long to read is refused', () => {
  const spaces = `{{ x }}${' '.repeat(900_000)}{`
  expect(() => new ChatTemplate(spaces, {}, 0.2)).toThrow(TimeLimitExceeded)
})

test('a template of a thousand messages is far from its limit', () => {
  const { chat_template: source } = JSON.parse(
    readFileSync(join(bundledModelFolder, 'tokenizer_config.json'), 'utf8'),
  )
  const messages = Array.from({ length: 1000 }, (_, i) => ({
    role: i % 2 === 0 ? ('user' as const) : ('assistant' as const),
    content: 'x'.repeat(100),
  }))
  const text = new ChatTemplate(source).render(messages, { addGenerationPrompt: true })
  expect(text.length).toBeGreaterThan(100_000)
})
