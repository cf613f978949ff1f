import { describe, expect, it } from 'vitest'
import { closeCodes, errorCodes } from '../../../shared/tunnel/error.ts'
import { decodeMessage, frameTypes } from '../../../shared/tunnel/frame.ts'
import { defaultTiming, limits } from '../../../shared/tunnel/limits.ts'
import { specRows } from '../../support/spec-tables.ts'

describe('SPEC.md', () => {
  it('lists the frame types that the code has', () => {
    const written = specRows('Frames').map(([type, name, , on, bytes]) => [type, name, on, bytes])
    const coded = Object.entries(frameTypes).map(([name, { type, on, min, max }]) => [
      `0x${type.toString(16).padStart(2, '0')}`,
      name,
      on,
      `${min}–${max}`,
    ])
    expect(written).toEqual(coded)
  })

  it('lists the error codes that the code has', () => {
    const written = specRows('Errors').map(([number, name]) => [Number(number), name])
    expect(written).toEqual(Object.entries(errorCodes).map(([name, number]) => [number, name]))
  })

  it('lists the close codes that the code has', () => {
    const written = specRows('Close codes').map(([number, name]) => [Number(number), name])
    expect(written).toEqual(Object.entries(closeCodes).map(([name, number]) => [number, name]))
  })

  it('lists the limits that the code has', () => {
    const written = specRows('Limits').map(([name, value]) => [name, Number(value)])
    expect(written).toEqual(Object.entries(limits))
  })

  it('lists the times that the code has', () => {
    const written = specRows('Times').map(([name, value]) => [name, Number(value)])
    expect(written).toEqual(Object.entries(defaultTiming))
  })

  it('reserves types that the code refuses', () => {
    for (const [type] of specRows('Reserved')) {
      const message = Uint8Array.from([Number(type), 0, 0, 0, 0, 0, 0, 0])
      expect(() => decodeMessage(message)).toThrow(
        `unknown frame type ${Number(type).toString(16).replace(/^/, '0x')}`,
      )
    }
  })
})
