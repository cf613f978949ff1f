import { describe, expect, it } from 'vitest'
import { TunnelError } from '../../../shared/tunnel/error.ts'
import {
  decodeMessage,
  encodeMessage,
  frameTypes,
  type Frame,
  type FrameName,
} from '../../../shared/tunnel/frame.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { limits } from '../../../shared/tunnel/limits.ts'

const seededBytes = (seed: number) => {
  const random = seededRandom(seed)
  return () => random() * 256
}

const names = Object.keys(frameTypes).filter((name): name is FrameName => name in frameTypes)

const pool = Uint8Array.from({ length: 2 * limits.openBytes }, seededBytes(3))

const randomFrame = (random: () => number): Frame => {
  const name = names[Math.floor(random() * names.length)] ?? 'PING'
  const { on, min, max } = frameTypes[name]
  const length = Math.min(max, min + Math.floor(random() ** 8 * (max - min + 1)))
  const offset = Math.floor(random() * limits.openBytes)
  return {
    name,
    streamId: on === 'stream' ? 2 * Math.floor(random() * 2 ** 30) + 1 : 0,
    payload: pool.slice(offset, offset + length),
  }
}

/** A header and `numBytes` of what follows it. */
const raw = (type: number, length: number, streamId: number, numBytes = 0): Uint8Array => {
  const bytes = new Uint8Array(8 + numBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, length)
  view.setUint8(0, type)
  view.setUint32(4, streamId)
  return bytes
}

describe('the frame codec', () => {
  it('writes type, length and stream id in network order', () => {
    const frame: Frame = { name: 'DATA', streamId: 0x01020305, payload: Uint8Array.of(7, 8) }
    expect([...encodeMessage([frame])]).toEqual([0x13, 0, 0, 2, 1, 2, 3, 5, 7, 8])
  })

  it('reads back what it wrote, several frames to a message', () => {
    const random = seededRandom(1)
    for (let round = 0; round < 2_000; round++) {
      const frames = Array.from({ length: 1 + Math.floor(random() * 4) }, () => randomFrame(random))
      expect(decodeMessage(encodeMessage(frames))).toEqual(frames)
    }
  })

  it('refuses every message that ends inside a frame', () => {
    const message = encodeMessage([
      { name: 'PING', streamId: 0, payload: new Uint8Array(8) },
      { name: 'DATA', streamId: 1, payload: new Uint8Array(5) },
    ])
    const cuts = Array.from({ length: message.byteLength }, (_, length) => length)
    const accepted = cuts.filter((length) => {
      try {
        decodeMessage(message.subarray(0, length))
        return true
      } catch (error) {
        expect(error).toMatchObject({ code: 'PROTOCOL_ERROR' })
        return false
      }
    })
    // Nothing, and the PING alone, are whole.
    expect(accepted).toEqual([0, 16])
  })

  it.each([
    ['DATA over its limit', raw(0x13, limits.dataBytes + 1, 1), 'DATA of 16385 bytes'],
    ['DATA of the largest length', raw(0x13, 0xffffff, 1), 'DATA of 16777215 bytes'],
    ['empty DATA', raw(0x13, 0, 1), 'DATA of 0 bytes'],
    ['HELLO over its limit', raw(0x01, limits.helloBytes + 1, 0), 'HELLO of 16385 bytes'],
    ['a short PING', raw(0x20, 7, 0, 7), 'PING of 7 bytes'],
    ['ACCEPT with a payload', raw(0x11, 1, 1, 1), 'ACCEPT of 1 bytes'],
    ['an even stream id', raw(0x11, 0, 2), 'ACCEPT with stream id 2'],
    ['a stream id of 0', raw(0x11, 0, 0), 'ACCEPT with stream id 0'],
    ['a stream id over 2^31', raw(0x11, 0, 2 ** 32 - 1), 'ACCEPT with stream id 4294967295'],
    ['PING on a stream', raw(0x20, 8, 1, 8), 'PING with stream id 1'],
    ['WINDOW on an even id', raw(0x16, 4, 2, 4), 'WINDOW with stream id 2'],
    ['an unknown type', raw(0x7f, 0, 0), 'unknown frame type 0x7f'],
    ['type 0', raw(0, 0, 0), 'unknown frame type 0x0'],
    ['an unknown type past the end', raw(0x80, 1, 0), 'ends inside a payload'],
    ['a header past the end', new Uint8Array(7), 'ends inside a header'],
    ['a message over its limit', new Uint8Array(limits.messageBytes + 1), 'a message of 262145'],
  ])('refuses %s', (_, message, reason) => {
    expect(() => decodeMessage(message)).toThrow(reason)
  })

  it('refuses more frames in one message than the limit', () => {
    const accepts = (count: number) =>
      encodeMessage(
        Array.from({ length: count }, () => ({
          name: 'ACCEPT' as const,
          streamId: 1,
          payload: new Uint8Array(0),
        })),
      )
    expect(decodeMessage(accepts(limits.framesPerMessage))).toHaveLength(limits.framesPerMessage)
    expect(() => decodeMessage(accepts(limits.framesPerMessage + 1))).toThrow(
      'more than 512 frames',
    )
  })

  it('ignores unknown types with the high bit set, and reads on behind them', () => {
    const message = new Uint8Array([...raw(0x80, 3, 9, 3), ...raw(0xff, 0, 0), ...raw(0x11, 0, 5)])
    expect(decodeMessage(message)).toEqual([
      { name: 'ACCEPT', streamId: 5, payload: new Uint8Array(0) },
    ])
  })

  it('either reads or refuses 100,000 damaged frames, and never fails otherwise', () => {
    const random = seededRandom(2)
    let numRead = 0
    let numRefused = 0
    for (let round = 0; round < 25_000; round++) {
      const frames = Array.from({ length: 4 }, () => randomFrame(random))
      const message = encodeMessage(frames)
      for (let flips = Math.floor(random() * 3); flips > 0; flips--) {
        message[Math.floor(random() * Math.min(64, message.byteLength))] = random() * 256
      }
      const length = random() < 0.2 ? Math.floor(random() * message.byteLength) : message.byteLength
      try {
        decodeMessage(message.subarray(0, length))
        numRead++
      } catch (error) {
        if (!(error instanceof TunnelError)) throw error
        numRefused++
      }
    }
    expect({ numRead: numRead > 5_000, numRefused: numRefused > 5_000 }).toEqual({
      numRead: true,
      numRefused: true,
    })
  })
})
