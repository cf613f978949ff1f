import { expect, test } from 'vitest'
import { promptPrefixes } from '../../gateway/prompt-prefixes.ts'

const system = { role: 'system', content: 'You are terse. '.repeat(100) } // 1.5 KB
const ask = (text: string) => ({ role: 'user', content: text })
const tell = (text: string) => ({ role: 'assistant', content: text })

const chat = (messages: readonly object[]) => promptPrefixes({ messages }, 'key_a')

test('a chat that grows keeps the beginnings that it had, and gains longer ones', () => {
  const messages: object[] = [system, ask('hello')]
  const [shortest] = chat(messages)
  const seen: (readonly number[])[] = []
  for (let i = 0; i < 30; i++) {
    messages.push(tell('word '.repeat(100)), ask(`question ${i} ${'x'.repeat(300)}`))
    seen.push(chat(messages))
  }
  expect(seen.map((prefixes) => prefixes.at(-1))).toEqual(seen.map(() => shortest))
  const last = seen.at(-1) ?? []
  expect(last).toHaveLength(3)
  for (const prefixes of seen) expect(last.slice(-prefixes.length)).toEqual(prefixes)
  expect(new Set(seen.map(({ length }) => length))).toEqual(new Set([1, 2, 3]))
})

test('it makes no difference how a client writes the same prompt', () => {
  const content = system.content
  expect(chat([{ content, role: 'system' }])).toEqual(chat([system]))
  expect(chat([{ role: 'system', content: [{ type: 'text', text: content }] }])).toEqual(
    chat([system]),
  )
  expect(promptPrefixes({ messages: [system], temperature: 1, stream: true }, 'key_a')).toEqual(
    chat([system]),
  )
})

test('prompts that differ early, or in another place than the text, differ', () => {
  const others = [
    [{ ...system, content: `!${system.content}` }],
    [{ ...system, role: 'user' }],
    [ask('a'), system],
  ]
  expect(new Set([chat([system]), ...others.map(chat)].map(String)).size).toBe(4)
})

test('tenants share nothing', () => {
  expect(promptPrefixes({ messages: [system] }, 'key_b')).not.toEqual(chat([system]))
})

test('what is short, or no prompt, has no beginning to look for', () => {
  expect(chat([ask('hi')])).toEqual([])
  for (const body of [{}, { messages: 1 }, { messages: [1, null, 'x'] }, { prompt: { a: 1 } }]) {
    expect(promptPrefixes(body, 'key_a')).toEqual([])
  }
})

test('completions: texts and token ids that grow', () => {
  const of = (prompt: unknown) => promptPrefixes({ prompt }, 'key_a')
  const text = 'The sea, the sea. '.repeat(100)
  expect(of(`${text} and more`)).toEqual(of(text))
  expect(of([text])).toEqual(of(text))
  const ids = Array.from({ length: 500 }, (_, i) => i * 7)
  expect(of([...ids, 1, 2])).toEqual(of(ids))
  expect(of([9, ...ids])).not.toEqual(of(ids))
})

test('a character that is cut at the border does no harm', () => {
  const at = (fill: number, rest: string) =>
    promptPrefixes({ prompt: `${'a'.repeat(fill)}你好世界${rest}` }, 'key_a')
  for (const fill of [16_380, 16_381, 16_382, 16_383]) {
    expect(at(fill, 'x'.repeat(100))).toEqual(at(fill, 'y'))
    expect(at(fill, '')).toHaveLength(3)
  }
})
