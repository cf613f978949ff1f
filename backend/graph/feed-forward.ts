/**
 * A layer's feed-forward part, SwiGLU. Gate and up may be split by rows together with down by columns:
 * the parts' outputs add up.
 */
import type { ModelConfig } from '../checkpoint/config.ts'
import type { Node } from '../onnx/model.ts'
import { linear, type Matrices } from './linear.ts'
import { biasName } from './weights.ts'

/**
 * From `hidden`, the normed sum of the layer's input and attention, to `layers.N.down.y`.
 * @param addsDownBias whether this part of the sum has down's bias, if the model has one
 */
export const feedForwardNodes = (
  { hasMlpBias }: ModelConfig,
  matrices: Matrices,
  layer: number,
  hidden: string,
  { addsDownBias }: { readonly addsDownBias: boolean },
): Node[] => {
  const at = (name: string): string => `layers.${layer}.${name}`
  const project = (x: string, name: string, hasBias: boolean): Node[] => {
    const bias = hasBias ? biasName(at(name)) : null
    return linear(x, { matrix: matrices(at(name)), bias }, at(`${name}.y`))
  }
  return [
    ...project(hidden, 'gate', hasMlpBias),
    ...project(hidden, 'up', hasMlpBias),
    { operator: 'Sigmoid', inputs: [at('gate.y')], outputs: [at('sigmoid')] },
    { operator: 'Mul', inputs: [at('gate.y'), at('sigmoid')], outputs: [at('silu')] },
    { operator: 'Mul', inputs: [at('silu'), at('up.y')], outputs: [at('gated')] },
    ...project(at('gated'), 'down', hasMlpBias && addsDownBias),
  ]
}
