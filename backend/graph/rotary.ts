/** The rotary embedding's tables: cosine and sine of every position times every frequency. */
import type { ModelConfig } from '../checkpoint/config.ts'
import { rotaryFrequencies } from './rotary-frequencies.ts'

export type RotaryTable = 'cos' | 'sin'

const functions = { cos: Math.cos, sin: Math.sin } as const satisfies Record<
  RotaryTable,
  (x: number) => number
>

/** A few MiB at a time, however long the model's sequences are. */
const positionsPerPiece = 8192

/**
 * [maxPositions, headDim / 2], piece by piece: `table(position · frequency) · amplitude`, rounded to
 * float32 at each step as transformers' rotary embeddings do, so that far positions agree with it. Rows of
 * positions that no sequence comes to take disk, but no memory: ONNX Runtime maps the file.
 */
export function* rotaryTable(
  config: ModelConfig,
  table: RotaryTable,
): Generator<Float32Array<ArrayBuffer>, void> {
  const { frequencies, amplitude } = rotaryFrequencies(config)
  const half = frequencies.length
  for (let first = 0; first < config.maxPositions; first += positionsPerPiece) {
    const numPositions = Math.min(positionsPerPiece, config.maxPositions - first)
    const values = new Float32Array(numPositions * half)
    for (let row = 0; row < numPositions; row++) {
      for (let i = 0; i < half; i++) {
        const angle = Math.fround((first + row) * frequencies[i]!)
        values[row * half + i] = Math.fround(functions[table](angle)) * Math.fround(amplitude)
      }
    }
    yield values
  }
}
