/** Random weights of any architecture, the same numbers as test/fixtures/architectures/make_golden.py. */
import type { ModelConfig } from '../../../backend/checkpoint/config.ts'
import { planShards } from '../../../backend/graph/shard-plan.ts'
import { plainFormat } from '../../../backend/graph/weight-format.ts'
import { rankWeights, type SourceTensor } from '../../../backend/graph/weights.ts'
import type { Float32Tensors } from '../checkpoint/write-safetensors.ts'
import { randomSource } from './random-source.ts'

/** Of a model that one rank has whole. */
const wholeWeights = (config: ModelConfig) =>
  planShards(config, { tensorParallelSize: 1, pipelineParallelSize: 1 }).flatMap((plan) =>
    rankWeights(config, plan, plainFormat),
  )

/** FNV-1a, 32 bits. */
const seedOf = (name: string): number =>
  Buffer.from(name).reduce((seed, byte) => Math.imul(seed ^ byte, 0x01000193), 0x811c9dc5)

const randomValues = ({ name, shape }: SourceTensor): Float32Array => {
  const random = randomSource(seedOf(name))
  const [rows = 0, columns = 1] = shape
  return Float32Array.from({ length: rows * columns }, () => {
    if (name.endsWith('norm.weight')) return 1 + random() / 4
    return name.endsWith('.bias') ? random() / 2 : random() / Math.sqrt(columns / 3)
  })
}

/** Every tensor that a checkpoint of this config has. */
export const randomWeights = (config: ModelConfig): Float32Tensors => {
  const tensors = wholeWeights(config).flatMap(({ source }) =>
    typeof source === 'string' ? [] : source,
  )
  return Object.fromEntries(
    tensors.map((tensor) => [tensor.name, { shape: tensor.shape, values: randomValues(tensor) }]),
  )
}
