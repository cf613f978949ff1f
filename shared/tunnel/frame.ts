/**
 * The codec of burrow.1 frames: `u8 type | u24 length | u32 streamId | payload`, big-endian.
 * One message holds whole frames only. Knows no JSON and no stream state. SPEC.md, "Frames".
 */
import { TunnelError } from './error.ts'
import { limits } from './limits.ts'

export const headerBytes = 8

/** Frame types; `min` and `max` bound the payload in bytes, `on` says whether a stream id is due. */
export const frameTypes = {
  HELLO: { type: 0x01, on: 'connection', min: 2, max: limits.helloBytes },
  WELCOME: { type: 0x02, on: 'connection', min: 2, max: limits.welcomeBytes },
  AUTH: { type: 0x03, on: 'connection', min: 2, max: limits.authBytes },
  CHALLENGE: { type: 0x04, on: 'connection', min: 32, max: 32 },
  OPEN: { type: 0x10, on: 'stream', min: 2, max: limits.openBytes },
  ACCEPT: { type: 0x11, on: 'stream', min: 0, max: 0 },
  HEAD: { type: 0x12, on: 'stream', min: 2, max: limits.headBytes },
  DATA: { type: 0x13, on: 'stream', min: 1, max: limits.dataBytes },
  END: { type: 0x14, on: 'stream', min: 0, max: limits.endBytes },
  RESET: { type: 0x15, on: 'stream', min: 4, max: 4 + limits.resetTextBytes },
  WINDOW: { type: 0x16, on: 'either', min: 4, max: 4 },
  USAGE: { type: 0x17, on: 'connection', min: 2, max: limits.usageBytes },
  USAGE_ACK: { type: 0x18, on: 'connection', min: 2, max: limits.usageAckBytes },
  PING: { type: 0x20, on: 'connection', min: 8, max: 8 },
  PONG: { type: 0x21, on: 'connection', min: 8, max: 8 },
  GOAWAY: { type: 0x22, on: 'connection', min: 2, max: limits.goawayBytes },
  STATUS: { type: 0x23, on: 'connection', min: 2, max: limits.statusBytes },
  SYNC: { type: 0x24, on: 'connection', min: 0, max: 4 * limits.syncIds },
} as const

export type FrameName = keyof typeof frameTypes

export type Frame = {
  readonly name: FrameName
  /** 0 for the connection itself. */
  readonly streamId: number
  readonly payload: Uint8Array
}

const frameNames = new Map<number, FrameName>(
  Object.keys(frameTypes)
    .filter((name): name is FrameName => Object.hasOwn(frameTypes, name))
    .map((name) => [frameTypes[name].type, name]),
)

const violation = (message: string) => new TunnelError('PROTOCOL_ERROR', message)

/** Whether `id` can be a stream's: odd, and at most 2^31 - 1. */
export const isStreamId = (id: number): boolean => id % 2 === 1 && id <= limits.maxStreamId

const isAllowedOn = (on: 'connection' | 'stream' | 'either', id: number): boolean =>
  id === 0 ? on !== 'stream' : on !== 'connection' && isStreamId(id)

const checkBounds = (name: FrameName, streamId: number, length: number): void => {
  const { on, min, max } = frameTypes[name]
  if (length < min || length > max) {
    throw violation(`${name} of ${length} bytes, not ${min} to ${max}`)
  }
  if (!isAllowedOn(on, streamId)) throw violation(`${name} with stream id ${streamId}`)
}

/** Bytes that a frame takes in a message. */
export const frameBytes = (frame: Frame): number => headerBytes + frame.payload.byteLength

/** All frames as one message. @throws TunnelError if a frame breaks its own bounds */
export const encodeMessage = (frames: readonly Frame[]): Uint8Array => {
  const message = new Uint8Array(frames.reduce((sum, frame) => sum + frameBytes(frame), 0))
  const view = new DataView(message.buffer)
  let at = 0
  for (const { name, streamId, payload } of frames) {
    checkBounds(name, streamId, payload.byteLength)
    view.setUint32(at, payload.byteLength) // the type overwrites the topmost byte
    view.setUint8(at, frameTypes[name].type)
    view.setUint32(at + 4, streamId)
    message.set(payload, at + headerBytes)
    at += headerBytes + payload.byteLength
  }
  return message
}

/**
 * The frames of one message. Payloads are views of `message`: whoever keeps one copies it. Unknown
 * types with the high bit set are left out. @throws TunnelError PROTOCOL_ERROR
 */
export const decodeMessage = (message: Uint8Array): Frame[] => {
  if (message.byteLength > limits.messageBytes) {
    throw violation(`a message of ${message.byteLength} bytes, more than ${limits.messageBytes}`)
  }
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  const frames: Frame[] = []
  let at = 0
  for (let count = 1; at < message.byteLength; count++) {
    if (count > limits.framesPerMessage) {
      throw violation(`more than ${limits.framesPerMessage} frames in one message`)
    }
    if (message.byteLength - at < headerBytes) throw violation('a message ends inside a header')
    const type = view.getUint8(at)
    const length = view.getUint32(at) & 0xffffff
    const streamId = view.getUint32(at + 4)
    const end = at + headerBytes + length
    const name = frameNames.get(type)
    // Bounds first: a length over the limit is refused for what it is, present or not.
    if (name) checkBounds(name, streamId, length)
    else if (type < 0x80) throw violation(`unknown frame type 0x${type.toString(16)}`)
    if (end > message.byteLength) throw violation('a message ends inside a payload')
    if (name) frames.push({ name, streamId, payload: message.subarray(at + headerBytes, end) })
    at = end
  }
  return frames
}

const empty = new Uint8Array(0)

/** ACCEPT: the backend has begun. */
export const acceptFrame = (streamId: number): Frame => ({
  name: 'ACCEPT',
  streamId,
  payload: empty,
})

/** WINDOW: `delta` more bytes of DATA may be sent on the stream; 0 is the whole connection. */
export const windowFrame = (streamId: number, delta: number): Frame => {
  const payload = new Uint8Array(4)
  new DataView(payload.buffer).setUint32(0, delta)
  return { name: 'WINDOW', streamId, payload }
}

/** WINDOW's payload. @throws TunnelError PROTOCOL_ERROR on a grant of nothing */
export const readWindow = (payload: Uint8Array): number => {
  const delta = new DataView(payload.buffer, payload.byteOffset, 4).getUint32(0)
  if (delta === 0) throw violation('WINDOW of 0 bytes')
  return delta
}
