import { expect, test } from 'vitest'
import { StopStrings } from '../../../backend/engine/stop-strings.ts'

/** What comes out for pieces of text, and what is left at the end. */
const run = (stops: string[], pieces: string[], keepsStop = false) => {
  const cutter = new StopStrings(stops, keepsStop)
  const out: string[] = []
  for (const piece of pieces) {
    const { text, stopped } = cutter.push(piece)
    out.push(text)
    if (stopped) return { out, stopped }
  }
  return { out: [...out, cutter.flush()], stopped: false }
}

test.each([
  { stops: [], pieces: ['a', 'b'], out: ['a', 'b', ''], stopped: false },
  { stops: ['END'], pieces: ['one E', 'N', 'D two'], out: ['one ', '', ''], stopped: true },
  {
    stops: ['END'],
    pieces: ['one E', 'N', 'ough'],
    out: ['one ', '', 'ENough', ''],
    stopped: false,
  },
  { stops: ['END'], pieces: ['one EN'], out: ['one ', 'EN'], stopped: false },
  { stops: ['b', 'ab'], pieces: ['xaby'], out: ['x'], stopped: true },
  { stops: ['aab'], pieces: ['aa', 'a', 'b'], out: ['', 'a', ''], stopped: true },
  { stops: ['。'], pieces: ['你好', '。再见'], out: ['你好', ''], stopped: true },
])('$stops over $pieces gives $out', ({ stops, pieces, out, stopped }) => {
  expect(run(stops, pieces)).toEqual({ out, stopped })
})

test.each([
  { stops: ['END'], pieces: ['one E', 'N', 'D two'], out: ['one ', '', 'END'] },
  { stops: ['b', 'ab'], pieces: ['xaby'], out: ['xab'] },
  { stops: ['abc', 'ab'], pieces: ['xabcd'], out: ['xab'] },
])('$stops over $pieces, kept, gives $out', ({ stops, pieces, out }) => {
  expect(run(stops, pieces, true)).toEqual({ out, stopped: true })
})

test.each([
  // Wholly in the text that may not stop.
  { stops: ['END'], before: ['an END', ' of'], after: ['it'], text: 'an END ofit', stopped: false },
  // Begun there, ended after it.
  { stops: ['END'], before: ['an E', 'N'], after: ['D of it'], text: 'an ', stopped: true },
  // Another one's beginning, which is held back, has one wholly in it.
  { stops: ['xaby', 'ab'], before: ['xab'], after: ['z'], text: 'xabz', stopped: false },
  { stops: ['xaby', 'ab'], before: ['xab'], after: ['y'], text: '', stopped: true },
])('before $before has passed, $stops do not stop', ({ stops, before, after, text, stopped }) => {
  const cutter = new StopStrings(stops)
  let out = ''
  for (const piece of before) {
    const pushed = cutter.push(piece, false)
    expect(pushed.stopped).toBe(false)
    out += pushed.text
  }
  let hasStopped = false
  for (const piece of after) {
    const pushed = cutter.push(piece)
    out += pushed.text
    hasStopped ||= pushed.stopped
  }
  expect({ text: hasStopped ? out : out + cutter.flush(), stopped: hasStopped }).toEqual({
    text,
    stopped,
  })
})
