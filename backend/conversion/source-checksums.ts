/** Compares what was read of the checkpoint with the checksums that it has, once all of it was read. */
import { combineCrc32 } from '../checkpoint/combine-crc32.ts'
import type { TensorPlace } from '../checkpoint/tensor-place.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import type { FinishedPiece } from './journal.ts'
import type { Piece } from './pieces.ts'

type Sum = { readonly firstRow: number; readonly crc32: number; readonly numBytes: number }

/**
 * @param pieces all of a conversion, by their ids
 * @param finished all of them
 * @throws ModelFolderError for a tensor that is not what its file says it should be
 */
export const checkSources = (
  pieces: readonly Piece[],
  finished: readonly FinishedPiece[],
): void => {
  const sums = new Map<TensorPlace, Sum[]>()
  for (const { id, sourceCrc32 } of finished) {
    const piece = pieces[id]
    if (piece === undefined || typeof piece.source === 'string') continue
    if (sourceCrc32 === undefined) continue
    const { source, rows } = piece
    const known = sums.get(source) ?? []
    sums.set(source, known)
    const numBytes = (rows.end - rows.begin) * source.rowBytes
    known.push({ firstRow: rows.begin, crc32: sourceCrc32, numBytes })
  }
  for (const [{ path, offset, crc32 }, parts] of sums) {
    if (combineCrc32(parts.toSorted((a, b) => a.firstRow - b.firstRow)) === crc32) continue
    throw new ModelFolderError(
      path,
      `its storage at byte ${offset} is damaged: its checksum is wrong. Download it again`,
    )
  }
}
