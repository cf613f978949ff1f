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
  const split: Node = {
    operator: 'Split',
    inputs: [at('gate_up.y')],
    outputs: [at('gate'), at('up')],
    attributes: { axis: { int: -1 }, num_outputs: { int: 2 } },
  }
  return [
    // One product of both: the input is rounded once, and threads meet once.
    ...project(hidden, 'gate_up', hasMlpBias),
    split,
    { operator: 'Sigmoid', inputs: [at('gate')], outputs: [at('sigmoid')] },
    { operator: 'Mul', inputs: [at('gate'), at('sigmoid')], outputs: [at('silu')] },
    { operator: 'Mul', inputs: [at('silu'), at('up')], outputs: [at('gated')] },
    ...project(at('gated'), 'down', hasMlpBias && addsDownBias),
  ]
}
