/**
 * What a prompt begins with, as a few numbers: prompts with the same beginning have the same ones, so
 * that they can go where that beginning was computed. The text itself is not kept.
 */
import { isFields, type Fields } from '../shared/parse.ts'
import { Hash } from './tunnel/hash.ts'

/** Bytes of the canonical prompt. Shorter beginnings are computed anew more quickly than they are looked for. */
export const prefixBytes = [1024, 4096, 16_384] as const

const maxBytes = prefixBytes[2]

/** Between the parts of a prompt. A text that has it itself may look like another: that misleads nobody. */
const mark = '\u0000'

/**
 * The hashes of the first 1, 4 and 16 KiB of a request's canonical prompt, the longest first; those
 * that the prompt is too short for are left out.
 * @param salt prompts under different salts share nothing: one tenant's requests do not show where
 * another's went
 */
export const promptPrefixes = (body: Fields, salt: string): readonly number[] => {
  const bytes = new Uint8Array(maxBytes)
  const length = writeParts(bytes, canonicalPrompt(body))
  const hash = new Hash().update(new TextEncoder().encode(`${salt}${mark}`))
  const hashes: number[] = []
  let at = 0
  for (const size of prefixBytes) {
    if (length < size) break
    hashes.unshift(hash.update(bytes.subarray(at, size)).value)
    at = size
  }
  return hashes
}

/**
 * The prompt in parts, such that a chat that has grown begins with the parts that it had: roles and
 * texts, whatever the order of JSON's fields and however a client writes its strings.
 */
function* canonicalPrompt(body: Fields): Generator<string> {
  if (Array.isArray(body['messages'])) {
    for (const message of body['messages']) yield* canonicalMessage(message)
  } else {
    yield* canonicalText(body['prompt'])
  }
}

function* canonicalMessage(message: unknown): Generator<string> {
  if (!isFields(message)) return
  const { role, content, ...others } = message
  yield `${mark}${String(role)}${mark}`
  yield* canonicalContent(content)
  // Tool calls, names and whatever comes: part of what the model reads.
  for (const name of Object.keys(others).sort()) {
    yield `${mark}${name}${mark}${JSON.stringify(others[name])}`
  }
}

function* canonicalContent(content: unknown): Generator<string> {
  if (!Array.isArray(content)) return yield* canonicalText(content)
  for (const part of content) {
    yield isFields(part) && typeof part['text'] === 'string' ? part['text'] : JSON.stringify(part)
  }
}

/** A text, or token ids. */
function* canonicalText(text: unknown): Generator<string> {
  if (typeof text === 'string') return yield text
  if (!Array.isArray(text)) return
  for (const item of text) yield typeof item === 'string' ? item : `${JSON.stringify(item)},`
}

/** Writes as much as fits; a character that is cut in two is left out. @returns bytes written */
const writeParts = (bytes: Uint8Array, parts: Iterable<string>): number => {
  const encoder = new TextEncoder()
  let at = 0
  for (const part of parts) {
    const { read, written } = encoder.encodeInto(part, bytes.subarray(at))
    at += written
    // The room that a whole character did not fit into counts as filled.
    if (read < part.length) return bytes.byteLength
  }
  return at
}
