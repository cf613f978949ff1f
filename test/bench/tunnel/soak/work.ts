/** What the soak's clients ask for, and to the byte what they are owed: a function of the request alone. */
import { createHash } from 'node:crypto'
import { seededRandom, type Random } from '../../../../backend/engine/random.ts'

/** The request's body. It names everything that happens, so that a run can be played again. */
export type Ask = {
  readonly model: string
  readonly stream: boolean
  readonly seed: number
  /** `echo` answers with a digest of `upload`; `hold` answers when it is released. */
  readonly kind: 'whole' | 'events' | 'echo' | 'hold'
  /** Pieces of the answer: events, or chunks of a whole answer. */
  readonly numPieces: number
  /** Each piece up to so many characters. */
  readonly pieceChars: number
  /** Before the head, and between pieces, up to so long. */
  readonly headMs: number
  readonly pauseMs: number
  /** The handler throws before this piece; -1: it does not. */
  readonly failsAt: number
  readonly upload: string
}

/** What the client itself does. */
export type Manner = {
  /** Leaves after so many bytes; Infinity: it stays. */
  readonly leavesAfterBytes: number
  /** Waits before each chunk that it reads. */
  readonly readPauseMs: number
}

export const model = 'soak'

const upTo = (random: Random, most: number): number => Math.floor(random.next() * (most + 1))

/** The work of request number `index` of a run. */
export const randomWork = (runSeed: number, index: number): { ask: Ask; manner: Manner } => {
  const random = seededRandom(runSeed * 1_000_003 + index)
  const dice = random.next()
  const kind = dice < 0.55 ? 'events' : dice < 0.85 ? 'whole' : 'echo'
  const isLarge = random.next() < 0.1
  const numPieces = kind === 'echo' ? 1 : 1 + upTo(random, isLarge ? 600 : 60)
  const ask: Ask = {
    model,
    stream: kind === 'events',
    seed: upTo(random, 2 ** 31),
    kind,
    numPieces,
    pieceChars: 1 + upTo(random, isLarge ? 4_000 : 200),
    headMs: random.next() < 0.2 ? upTo(random, 300) : 0,
    pauseMs: random.next() < 0.5 ? upTo(random, 12) : 0,
    failsAt: random.next() < 0.03 ? upTo(random, numPieces - 1) : -1,
    upload: kind === 'echo' ? letters(random, upTo(random, isLarge ? 600_000 : 5_000)) : '',
  }
  const manner: Manner = {
    leavesAfterBytes: random.next() < 0.1 ? upTo(random, 3_000) : Infinity,
    readPauseMs: random.next() < 0.05 ? 20 : 0,
  }
  return { ask, manner }
}

const alphabet = [...'abcdefghij ü虎🐯']

const letters = (random: Random, length: number): string => {
  let text = ''
  for (let i = 0; i < length; i++) text += alphabet[upTo(random, alphabet.length - 1)]
  return text
}

/** The answer's pieces in order; events without the last `[DONE]`. */
export function* pieces(ask: Ask): Generator<string> {
  const random = seededRandom(ask.seed)
  for (let i = 0; i < ask.numPieces; i++) {
    const text = letters(random, 1 + upTo(random, ask.pieceChars - 1))
    if (ask.kind === 'echo') yield createHash('sha256').update(ask.upload).digest('hex')
    else if (ask.kind === 'events') yield `data: ${JSON.stringify({ i, text })}\n\n`
    else yield text
  }
}

export const done = 'data: [DONE]\n\n'

/** All that a client can get: of an answer that fails, what comes before. */
export const wholeAnswer = (ask: Ask): Buffer => {
  const made = [...pieces(ask)]
  if (ask.failsAt >= 0) return Buffer.from(made.slice(0, ask.failsAt).join(''))
  return Buffer.from(made.join('') + (ask.kind === 'events' ? done : ''))
}
