import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { closeCodes, errorCodes } from '../../../shared/tunnel/error.ts'
import { decodeMessage, frameTypes } from '../../../shared/tunnel/frame.ts'
import { defaultTiming, limits } from '../../../shared/tunnel/limits.ts'

let sections: Map<string, string[][]>

/** The rows of the first table of each section, without its head. */
const readTables = (markdown: string): Map<string, string[][]> =>
  new Map(
    markdown.split(/^## /m).map((section) => [
      section.split('\n', 1)[0] ?? '',
      (/(?:^\|.*\n)+/m.exec(section)?.[0] ?? '')
        .trim()
        .split('\n')
        .slice(2)
        .map((row) =>
          row
            .split('|')
            .slice(1, -1)
            .map((cell) => cell.trim()),
        ),
    ]),
  )

const rows = (section: string): string[][] => {
  const found = sections.get(section) ?? []
  expect(found.length, `rows of ${section}`).toBeGreaterThan(0)
  return found
}

beforeAll(async () => {
  const url = new URL('../../../shared/tunnel/SPEC.md', import.meta.url)
  sections = readTables(await readFile(url, 'utf8'))
})

describe('SPEC.md', () => {
  it('lists the frame types that the code has', () => {
    const written = rows('Frames').map(([type, name, , on, bytes]) => [type, name, on, bytes])
    const coded = Object.entries(frameTypes).map(([name, { type, on, min, max }]) => [
      `0x${type.toString(16).padStart(2, '0')}`,
      name,
      on,
      `${min}–${max}`,
    ])
    expect(written).toEqual(coded)
  })

  it('lists the error codes that the code has', () => {
    const written = rows('Errors').map(([number, name]) => [Number(number), name])
    expect(written).toEqual(Object.entries(errorCodes).map(([name, number]) => [number, name]))
  })

  it('lists the close codes that the code has', () => {
    const written = rows('Close codes').map(([number, name]) => [Number(number), name])
    expect(written).toEqual(Object.entries(closeCodes).map(([name, number]) => [number, name]))
  })

  it('lists the limits that the code has', () => {
    const written = rows('Limits').map(([name, value]) => [name, Number(value)])
    expect(written).toEqual(Object.entries(limits))
  })

  it('lists the times that the code has', () => {
    const written = rows('Times').map(([name, value]) => [name, Number(value)])
    expect(written).toEqual(Object.entries(defaultTiming))
  })

  it('reserves types that the code refuses', () => {
    for (const [type] of rows('Reserved')) {
      const message = Uint8Array.from([Number(type), 0, 0, 0, 0, 0, 0, 0])
      expect(() => decodeMessage(message)).toThrow(
        `unknown frame type ${Number(type).toString(16).replace(/^/, '0x')}`,
      )
    }
  })
})
