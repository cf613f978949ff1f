import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { ChoiceLogprobs } from '../../../backend/routes/choice-logprobs.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'

test('a token begins at the character that its first byte is of', () => {
  const tokenizer = loadTokenizer(bundledModelFolder)
  const text = '1🐯🐯2'
  const ids = tokenizer.encode(text, false)
  const tokens = new ChoiceLogprobs(tokenizer, '')
  const named = ids.map((token) => tokens.next({ token, logprob: -1, top: [] }))
  const whole = new TextEncoder().encode(text)
  const bytes = named.flatMap((token) => [...token.bytes])
  expect(Uint8Array.from(bytes)).toEqual(whole)
  let begin = 0
  for (const { bytes: part, textOffset } of named) {
    // As far as the text is whole before the token; U+FFFD stands for the half that is not.
    const before = new TextDecoder().decode(whole.slice(0, begin)).replaceAll('\uFFFD', '')
    expect(textOffset).toBe([...before].length)
    begin += part.length
  }
  expect(ids.length).toBeGreaterThan(4)
})

test('special tokens take no place in the text', () => {
  const tokenizer = loadTokenizer(bundledModelFolder)
  const tokens = new ChoiceLogprobs(tokenizer, '')
  const [one = 0] = tokenizer.encode('1', false)
  const offsets = [one, 1, one].map((token) => {
    return tokens.next({ token, logprob: -1, top: [] }).textOffset
  })
  expect(offsets).toEqual([0, 1, 1])
})
