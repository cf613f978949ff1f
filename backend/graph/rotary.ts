/** The rotary embedding's tables: cosine and sine of every position times every frequency. */
import type { LlamaConfig } from '../checkpoint/config.ts'

export type RotaryTable = 'cos' | 'sin'

const functions = { cos: Math.cos, sin: Math.sin } as const satisfies Record<
  RotaryTable,
  (x: number) => number
>

/**
 * [maxPositions, headDim / 2]: `table(position · ropeTheta^(-2i / headDim))`, rounded to float32 at
 * each step as transformers' `LlamaRotaryEmbedding` does, so that far positions agree with it.
 */
export const rotaryTable = (
  { maxPositions, headDim, ropeTheta }: LlamaConfig,
  table: RotaryTable,
): Float32Array => {
  const half = headDim / 2
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.fround(1 / Math.fround(ropeTheta ** Math.fround((2 * i) / headDim))),
  )
  const values = new Float32Array(maxPositions * half)
  for (let position = 0; position < maxPositions; position++) {
    for (let i = 0; i < half; i++) {
      values[position * half + i] = functions[table](Math.fround(position * frequencies[i]!))
    }
  }
  return values
}
