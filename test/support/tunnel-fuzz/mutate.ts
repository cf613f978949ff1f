/** Ways to break a valid message, each by chance. */

export type Random = () => number

/** A whole number from 0 to `below` - 1. */
export const pick = (random: Random, below: number): number => Math.floor(random() * below)

export const oneOf = <T>(random: Random, choices: readonly [T, ...T[]]): T =>
  choices[pick(random, choices.length)] ?? choices[0]

type Mutation = (message: Uint8Array, random: Random) => Uint8Array

const flipBits: Mutation = (message, random) => {
  const mutated = message.slice()
  for (let i = 0; i < 1 + pick(random, 4); i++) {
    const at = pick(random, mutated.length)
    mutated[at] = (mutated[at] ?? 0) ^ (1 << pick(random, 8))
  }
  return mutated
}

const truncate: Mutation = (message, random) => message.subarray(0, pick(random, message.length))

const skipBeginning: Mutation = (message, random) => message.subarray(pick(random, message.length))

const insert: Mutation = (message, random) => {
  const at = pick(random, message.length + 1)
  const noise = Uint8Array.from({ length: 1 + pick(random, 12) }, () => pick(random, 256))
  return Uint8Array.from([...message.subarray(0, at), ...noise, ...message.subarray(at)])
}

/** Overwrites a field of the first header: type, length or stream id. */
const breakHeader: Mutation = (message, random) => {
  const mutated = message.slice()
  if (mutated.length < 8) return mutated
  const view = new DataView(mutated.buffer)
  const value = oneOf(random, [0, 1, 2, 3, 255, 2 ** 16, 2 ** 24 - 1, 2 ** 31 - 1, 2 ** 32 - 1])
  const field = pick(random, 3)
  if (field === 0) view.setUint8(0, pick(random, 256))
  else if (field === 1) view.setUint32(0, (mutated[0] ?? 0) * 2 ** 24 + (value % 2 ** 24))
  else view.setUint32(4, value)
  return mutated
}

const mutations: readonly [Mutation, ...Mutation[]] = [
  flipBits,
  truncate,
  skipBeginning,
  insert,
  breakHeader,
]

/** The message, broken in one way. */
export const mutate: Mutation = (message, random) =>
  message.length === 0 ? message : oneOf(random, mutations)(message, random)

/** The message in pieces, each of which pretends to be one: from two halves down to single bytes. */
export const split = (message: Uint8Array, random: Random): Uint8Array[] => {
  const size = oneOf(random, [1, 1 + pick(random, 8), Math.ceil(message.length / 2)])
  const pieces: Uint8Array[] = []
  for (let at = 0; at < message.length; at += size) pieces.push(message.subarray(at, at + size))
  return pieces
}

export const merge = (messages: readonly Uint8Array[]): Uint8Array => {
  const merged = new Uint8Array(messages.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const message of messages) {
    merged.set(message, at)
    at += message.byteLength
  }
  return merged
}

const oddValues = [null, true, -1, 0.5, 1e300, '', 'x', [], [[]], [null], {}, { a: 1 }] as const

/** A JSON payload with one field of another kind; other payloads stay as they are. */
export const mutateJson: Mutation = (payload, random) => {
  let fields: unknown
  try {
    fields = JSON.parse(new TextDecoder().decode(payload))
  } catch {
    return payload
  }
  if (typeof fields !== 'object' || fields === null) return payload
  const names = Object.keys(fields)
  const name = names[pick(random, names.length)]
  if (name === undefined) return payload
  return new TextEncoder().encode(JSON.stringify({ ...fields, [name]: oneOf(random, oddValues) }))
}
