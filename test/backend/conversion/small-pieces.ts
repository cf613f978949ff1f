/** Options under which a tiny model is as many pieces as a large one, with a journal of most of them. */
import type { ConvertOptions } from '../../../backend/conversion/convert.ts'

export const smallPieces = {
  format: { dtype: 'bfloat16', quantization: 'none' },
  tuning: { valuesPerPiece: 1024, journalIntervalMs: 10 },
} as const satisfies ConvertOptions

/** The same pieces, done by threads. */
export const threadedPieces = {
  ...smallPieces,
  tuning: { ...smallPieces.tuning, minThreadedBytes: 0 },
} as const satisfies ConvertOptions
