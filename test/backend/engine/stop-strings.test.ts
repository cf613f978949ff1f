import { expect, test } from 'vitest'
import { StopStrings } from '../../../backend/engine/stop-strings.ts'

/** What comes out for pieces of text, and what is left at the end. */
const run = (stops: string[], pieces: string[]) => {
  const cutter = new StopStrings(stops)
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
