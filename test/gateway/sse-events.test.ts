import { expect, test } from 'vitest'
import { WholeEvents } from '../../gateway/sse-events.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (part: Uint8Array) => new TextDecoder().decode(part)

test.each([
  ['LF', 'data: 你\n\n: ping\n\nevent: x\ndata: b\n\n', 'data: hal'],
  ['CR LF', 'data: a\r\n\r\ndata: b\r\n\r\n', 'data: hal\r\n'],
])('however %s events are cut, only whole ones are passed on', (_, whole, half) => {
  const all = bytes(whole + half)
  for (let size = 1; size <= all.byteLength; size++) {
    const events = new WholeEvents()
    let passed = ''
    for (let at = 0; at < all.byteLength; at += size) {
      passed += text(events.push(all.subarray(at, at + size)))
      expect(passed === '' || /\n\r?\n$/.test(passed)).toBe(true)
    }
    expect([passed, text(events.flush())]).toEqual([whole, half])
  }
})

test('an event that does not end is an error before it fills the memory', () => {
  const events = new WholeEvents()
  const chunk = new Uint8Array(1024 * 1024)

  expect(() => {
    for (let i = 0; i < 20; i++) events.push(chunk)
  }).toThrow('an event is larger than')
})
