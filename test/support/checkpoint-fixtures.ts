/** The checkpoints of test/fixtures/checkpoints, and reading them whole. */
import { fileURLToPath } from 'node:url'
import type { RowRange, TensorFile } from '../../backend/checkpoint/tensor-file.ts'

export const checkpointFixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/checkpoints/${name}`, import.meta.url))

export const readTensor = async (
  file: Pick<TensorFile, 'readFloat32'>,
  name: string,
  rows?: RowRange,
): Promise<number[]> => {
  const values: number[] = []
  for await (const piece of file.readFloat32(name, rows)) values.push(...piece)
  return values
}
