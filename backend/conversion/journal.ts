/**
 * Which pieces of a conversion are done, in a file beside what they have written: a conversion that was
 * killed goes on after them. The first line says what is converted; each further line is a piece, and is
 * written after the piece's bytes are safe.
 */
import { open, readFile, type FileHandle } from 'node:fs/promises'
import { isFields } from '../../shared/parse.ts'
import type { PieceResult, WrittenRange } from './piece-writer.ts'

export type FinishedPiece = PieceResult & { readonly id: number }

/** What a journal is of; another one is worth nothing to this conversion. */
export type JournalHead = {
  readonly fingerprint: string
  readonly numPieces: number
  /** As many pieces may be cut at other places. */
  readonly valuesPerPiece: number
}

const isRange = (value: unknown): value is WrittenRange =>
  isFields(value) &&
  Number.isSafeInteger(value.file) &&
  Number.isSafeInteger(value.offset) &&
  Number.isSafeInteger(value.numBytes) &&
  typeof value.sha256 === 'string'

/** null for a line that was not written whole. */
const parsePiece = (line: string, numPieces: number): FinishedPiece | null => {
  try {
    const value: unknown = JSON.parse(line)
    if (!isFields(value) || !Array.isArray(value.ranges) || !value.ranges.every(isRange))
      return null
    const { id, ranges, sourceCrc32 } = value
    if (typeof id !== 'number' || id < 0 || id >= numPieces) return null
    return typeof sourceCrc32 === 'number' ? { id, ranges, sourceCrc32 } : { id, ranges }
  } catch {
    return null
  }
}

/**
 * The pieces of a journal's text up to the first line that is not whole, and the length of that text;
 * null: it is of another head.
 */
export const parseJournal = (
  text: string,
  head: JournalHead,
): { readonly pieces: FinishedPiece[]; readonly length: number } | null => {
  // What follows the last line feed was cut off while it was written.
  const [first = '', ...lines] = text.split('\n').slice(0, -1)
  if (first !== JSON.stringify(head)) return null
  const pieces: FinishedPiece[] = []
  let length = first.length + 1
  for (const line of lines) {
    const piece = parsePiece(line, head.numPieces)
    if (piece === null) break
    pieces.push(piece)
    length += line.length + 1
  }
  return { pieces, length }
}

export class Journal {
  readonly #file: FileHandle

  private constructor(file: FileHandle) {
    this.#file = file
  }

  /** Goes on with a journal of this head; null where there is none. */
  static async resume(
    path: string,
    head: JournalHead,
  ): Promise<{ readonly journal: Journal; readonly pieces: readonly FinishedPiece[] } | null> {
    let text: string
    try {
      text = await readFile(path, 'latin1')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
      throw error
    }
    const known = parseJournal(text, head)
    if (known === null) return null
    const file = await open(path, 'a')
    await file.truncate(known.length)
    return { journal: new Journal(file), pieces: known.pieces }
  }

  /** Begins a journal where there is none. */
  static async create(path: string, head: JournalHead): Promise<Journal> {
    const file = await open(path, 'ax')
    await file.appendFile(`${JSON.stringify(head)}\n`)
    return new Journal(file)
  }

  /** Returns when the pieces are on disk. */
  async append(pieces: readonly FinishedPiece[]): Promise<void> {
    if (pieces.length === 0) return
    await this.#file.appendFile(pieces.map((piece) => `${JSON.stringify(piece)}\n`).join(''))
    await this.#file.datasync()
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}
