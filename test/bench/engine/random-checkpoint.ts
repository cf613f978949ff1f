/** Writes a Llama checkpoint of random bfloat16 numbers in Hugging Face's layout, of any size. */
import { randomFillSync } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** As large checkpoints are split. */
const fileBytes = 4 * 2 ** 30

const pieceBytes = 8 << 20

type Shapes = Readonly<Record<string, readonly number[]>>

const layerShapes = (layer: number, hidden: number, ffn: number, kv: number): Shapes => {
  const shapes = {
    'input_layernorm.weight': [hidden],
    'self_attn.q_proj.weight': [hidden, hidden],
    'self_attn.k_proj.weight': [kv, hidden],
    'self_attn.v_proj.weight': [kv, hidden],
    'self_attn.o_proj.weight': [hidden, hidden],
    'post_attention_layernorm.weight': [hidden],
    'mlp.gate_proj.weight': [ffn, hidden],
    'mlp.up_proj.weight': [ffn, hidden],
    'mlp.down_proj.weight': [hidden, ffn],
  }
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [`model.layers.${layer}.${name}`, shape]),
  )
}

const bytesOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 2)

/** All bits of the sign and the mantissa are random; the exponent is one of weights. */
const fillRandom = (piece: Uint32Array): void => {
  randomFillSync(piece)
  for (let i = 0; i < piece.length; i++) piece[i] = (piece[i]! & 0x80ff80ff) | 0x3c003c00
}

const writeFileOf = (path: string, tensors: readonly (readonly [string, readonly number[]])[]) => {
  let end = 0
  const fields = tensors.map(([name, shape]) => {
    const begin = end
    end += bytesOf(shape)
    return [name, { dtype: 'BF16', shape, data_offsets: [begin, end] }]
  })
  const header = Buffer.from(JSON.stringify(Object.fromEntries(fields)))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const file = openSync(path, 'w')
  writeSync(file, Buffer.concat([length, header]))
  const piece = new Uint32Array(pieceBytes / 4)
  for (let left = end; left > 0;) {
    fillRandom(piece)
    left -= writeSync(file, new Uint8Array(piece.buffer, 0, Math.min(left, pieceBytes)))
  }
  fsyncSync(file)
  closeSync(file)
}

/**
 * Shapes of Llama 2 7B, with as many layers as fit into `numBytes`.
 * @returns the bytes of all tensors
 */
export const writeRandomCheckpoint = (folder: string, numBytes: number): number => {
  // A small one has narrow layers, so that it has some.
  const [hidden, ffn] = numBytes >= 4e9 ? [4096, 11_008] : [1024, 2816]
  const vocab = 32_000
  const outer: Shapes = {
    'model.embed_tokens.weight': [vocab, hidden],
    'model.norm.weight': [hidden],
    'lm_head.weight': [vocab, hidden],
  }
  const sum = (shapes: Shapes): number =>
    Object.values(shapes).reduce((bytes, shape) => bytes + bytesOf(shape), 0)
  const layerBytes = sum(layerShapes(0, hidden, ffn, hidden / 4))
  const numLayers = Math.max(1, Math.ceil((numBytes - sum(outer)) / layerBytes))
  const layers = Array.from({ length: numLayers }, (_, layer) =>
    layerShapes(layer, hidden, ffn, hidden / 4),
  )
  const tensors = Object.entries(Object.assign({}, outer, ...layers) as Shapes)
  mkdirSync(folder, { recursive: true })
  const weightMap: Record<string, string> = {}
  for (let file = 1, rest = tensors; rest.length > 0; file++) {
    let count = 0
    for (let bytes = 0; count < rest.length && bytes < fileBytes; count++) {
      bytes += bytesOf(rest[count]?.[1] ?? [])
    }
    const name = `model-${file}.safetensors`
    const own = rest.slice(0, count)
    writeFileOf(join(folder, name), own)
    for (const [tensor] of own) weightMap[tensor] = name
    rest = rest.slice(count)
  }
  writeFileSync(
    join(folder, 'model.safetensors.index.json'),
    JSON.stringify({ weight_map: weightMap }),
  )
  const config = {
    architectures: ['LlamaForCausalLM'],
    hidden_size: hidden,
    intermediate_size: ffn,
    num_hidden_layers: numLayers,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: vocab,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  return tensors.reduce((bytes, [, shape]) => bytes + bytesOf(shape), 0)
}
