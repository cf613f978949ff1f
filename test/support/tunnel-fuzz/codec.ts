/** Frames through the codec: whole ones come back as they were, broken ones are refused as such. */
import assert from 'node:assert/strict'
import { TunnelError } from '../../../shared/tunnel/error.ts'
import {
  decodeMessage,
  encodeMessage,
  frameTypes,
  type Frame,
  type FrameName,
} from '../../../shared/tunnel/frame.ts'
import { merge, mutate, pick, split, type Random } from './mutate.ts'

const names = Object.keys(frameTypes).filter((name): name is FrameName =>
  Object.hasOwn(frameTypes, name),
)

const noise = Uint8Array.from({ length: 70_000 }, (_, i) => (i * 2_654_435_761) >>> 24)

const randomFrame = (random: Random): Frame => {
  const name = names[pick(random, names.length)] ?? 'PING'
  const { on, min, max } = frameTypes[name]
  // Mostly small, as they are; sometimes at their limit.
  const length = random() < 0.02 ? max : Math.min(max, min + pick(random, 40))
  const at = pick(random, noise.length - length)
  const isStream = on === 'stream' || (on === 'either' && random() < 0.5)
  const streamId = isStream ? 1 + 2 * pick(random, 2 ** 30) : 0
  return { name, streamId, payload: noise.subarray(at, at + length) }
}

const checkWhole = (message: Uint8Array, frames: readonly Frame[]): void => {
  const decoded = decodeMessage(message)
  assert.equal(decoded.length, frames.length)
  for (const [i, { name, streamId, payload }] of decoded.entries()) {
    const frame = frames[i]
    assert(frame?.name === name && frame.streamId === streamId)
    assert(payload.every((byte, at) => byte === frame.payload[at]))
    assert.equal(payload.byteLength, frame.payload.byteLength)
  }
}

/** What is decoded is exactly what was there; anything else is a PROTOCOL_ERROR. */
const check = (message: Uint8Array): void => {
  let frames: Frame[]
  try {
    frames = decodeMessage(message)
  } catch (error) {
    assert(error instanceof TunnelError && error.code === 'PROTOCOL_ERROR', String(error))
    return
  }
  // Unknown types are left out; the rest is in order and complete.
  assert(encodeMessage(frames).byteLength <= message.byteLength)
}

/** Runs at least `numFrames`; returns how many. @throws AssertionError on a defect */
export const fuzzCodec = (random: Random, numFrames: number): number => {
  let count = 0
  let previous: Uint8Array = new Uint8Array(0)
  while (count < numFrames) {
    const frames = Array.from({ length: 1 + pick(random, 8) }, () => randomFrame(random))
    count += frames.length
    const message = encodeMessage(frames)
    const fate = random()
    if (fate < 0.4) checkWhole(message, frames)
    else if (fate < 0.8) check(mutate(message, random))
    else if (fate < 0.9) for (const piece of split(message, random).slice(0, 64)) check(piece)
    else check(merge([previous, message]))
    previous = message
  }
  return count
}
