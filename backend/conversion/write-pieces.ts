/** Does the pieces of a conversion on all cores, and tells when they are safe on disk. */
import { open, type FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import type { ModelConfig } from '../checkpoint/config.ts'
import type { FinishedPiece, Journal } from './journal.ts'
import type { PieceThreadData } from './piece-thread.ts'
import { PieceWriter, type PieceResult } from './piece-writer.ts'
import { pieceBytes, type Piece } from './pieces.ts'
import type { Tuning } from './tuning.ts'
import { runInPool } from './worker-pool.ts'

export type NumberedPiece = Piece & { readonly id: number }

export type WriteOptions = {
  readonly pieces: readonly NumberedPiece[]
  /** The files of weights, which are there in their full size. */
  readonly outputs: readonly string[]
  readonly config: ModelConfig
  readonly journal: Journal
  readonly onWritten: (numBytes: number) => void
  readonly signal: AbortSignal | undefined
  readonly tuning: Tuning
}

/** A piece is entered into the journal after its bytes are synced, many pieces at a time. */
class JournalWriter {
  readonly #journal: Journal
  readonly #files: readonly FileHandle[]
  readonly #intervalMs: number
  #pending: FinishedPiece[] = []
  #running: Promise<void> | null = null
  #lastMs = performance.now()
  #failure: unknown

  constructor(journal: Journal, files: readonly FileHandle[], intervalMs: number) {
    this.#journal = journal
    this.#files = files
    this.#intervalMs = intervalMs
  }

  /** @throws the failure of an earlier write to the disk */
  add(piece: FinishedPiece): void {
    if (this.#failure !== undefined) throw this.#failure
    this.#pending.push(piece)
    if (this.#running !== null || performance.now() - this.#lastMs < this.#intervalMs) return
    this.#running = this.#write()
      .catch((error: unknown) => {
        this.#failure = error
      })
      .finally(() => {
        this.#running = null
        this.#lastMs = performance.now()
      })
  }

  /** Enters what is left. */
  async finish(): Promise<void> {
    await this.#running
    if (this.#failure !== undefined) throw this.#failure
    await this.#write()
  }

  async #write(): Promise<void> {
    const pieces = this.#pending
    this.#pending = []
    if (pieces.length === 0) return
    const touched = new Set(pieces.flatMap(({ ranges }) => ranges.map(({ file }) => file)))
    await Promise.all([...touched].map((file) => this.#files[file]?.datasync()))
    await this.#journal.append(pieces)
  }
}

/**
 * Returns when all pieces are done, or, where the signal is aborted, those that were begun; all of them are
 * on disk and in the journal.
 * @returns what was done
 * @throws what reading or writing threw; what was done before is in the journal
 */
export const writePieces = async (options: WriteOptions): Promise<FinishedPiece[]> => {
  const { pieces, outputs, config, journal, onWritten, signal, tuning } = options
  const finished: FinishedPiece[] = []
  const files: FileHandle[] = []
  try {
    for (const path of outputs) files.push(await open(path, 'r+'))
    const journalWriter = new JournalWriter(journal, files, tuning.journalIntervalMs)
    const onDone = (piece: NumberedPiece, result: PieceResult): void => {
      const done = { id: piece.id, ...result }
      finished.push(done)
      journalWriter.add(done)
      onWritten(pieceBytes(piece))
    }
    try {
      const numBytes = pieces.reduce((sum, piece) => sum + pieceBytes(piece), 0)
      const write = numBytes < tuning.minThreadedBytes ? writeHere : writeInThreads
      await write({ outputs, config }, pieces, onDone, signal)
    } finally {
      await journalWriter.finish()
    }
    return finished
  } finally {
    for (const file of files) await file.close()
  }
}

type OnDone = (piece: NumberedPiece, result: PieceResult) => void

const writeInThreads = (
  workerData: PieceThreadData,
  jobs: readonly NumberedPiece[],
  onAnswer: OnDone,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const script = new URL('./piece-thread.ts', import.meta.url)
  return runInPool({ script, workerData, jobs, onAnswer, signal })
}

const writeHere = async (
  { outputs, config }: PieceThreadData,
  pieces: readonly NumberedPiece[],
  onDone: OnDone,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const writer = new PieceWriter(outputs, config)
  try {
    for (const piece of pieces) {
      if (signal?.aborted === true) return
      onDone(piece, writer.write(piece))
      // Lets the journal be written meanwhile, and signals come.
      await setImmediate()
    }
  } finally {
    writer.close()
  }
}
