import { execFile } from 'node:child_process'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { lineLog } from '../../../shared/log.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { Decoder } from '../../../backend/graph/decoder.ts'
import { readManifest } from '../../../backend/graph/manifest.ts'
import type { FormatWish } from '../../../backend/conversion/format-wish.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { writeFloat32Tensors } from '../checkpoint/write-safetensors.ts'
import { maxDifference, TinyLlama } from '../graph/tiny-llama.ts'
import { folderHashes } from './folder-hashes.ts'

const model = new TinyLlama()
const prompt = [4, 8, 15, 16, 23, 42]

/** A checkpoint, and where its conversion goes; nothing else is in the folder of the latter. */
const folders = () => {
  const root = tempFolder()
  const paths = { checkpoint: join(root, 'model'), parent: join(root, 'cache') }
  mkdirSync(paths.checkpoint)
  return { ...paths, out: join(paths.parent, 'graph') }
}

const expectRightLogits = (folder: string, of: TinyLlama = model): void => {
  const decoder = new Decoder(folder, { slots: 1, capacity: 16, intraOpNumThreads: 1 })
  const logits = decoder.prefill(0, 0, prompt)
  decoder.close()
  expect(maxDifference(logits, of.logits(prompt).at(-1) ?? [])).toBeLessThan(2e-5)
}

/** Tells a conversion from its repetition. */
const writtenAt = (folder: string): number => statSync(join(folder, 'weights.bin')).mtimeMs

test('a conversion leaves four files, and the manifest that it returns', async () => {
  const { checkpoint, parent, out } = folders()
  model.write(checkpoint)
  const lines: string[] = []
  const manifest = await convertModel(checkpoint, out, { log: lineLog((l) => lines.push(l)) })
  expect(manifest).toEqual({
    formatVersion: 7,
    fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
    tensorParallelSize: 1,
    pipelineParallelSize: 1,
    dtype: 'float32',
    quantization: 'none',
    embeddingQuantization: 'none',
    ropeOverride: null,
    hiddenSize: 64,
    intermediateSize: 80,
    numLayers: 3,
    numHeads: 6,
    numKvHeads: 2,
    headDim: 16,
    vocabSize: 50,
    maxPositions: 64,
    weightsBytes: statSync(join(out, 'weights.bin')).size,
  })
  expect(readManifest(out)).toEqual(manifest)
  expect(readdirSync(out).sort()).toEqual([
    'checksums.txt',
    'manifest.json',
    'model.onnx',
    'weights.bin',
  ])
  expect(readdirSync(parent)).toEqual(['graph'])
  // No path of the machine is in the log.
  expect(lines.map((line) => line.slice(9))).toEqual([
    'info converting model model=model',
    `info converted model bytes=${manifest.weightsBytes}`,
  ])
  expectRightLogits(out)
})

test('an up-to-date conversion is used again', async () => {
  const { checkpoint, out } = folders()
  model.write(checkpoint)
  const first = await convertModel(checkpoint, out)
  const at = writtenAt(out)
  expect([await convertModel(checkpoint, out), writtenAt(out)]).toEqual([first, at])
})

test('other rotary scaling than the last time makes a new conversion', async () => {
  const { checkpoint, out } = folders()
  model.write(checkpoint)
  const ropeOverride = { type: 'linear', factor: 2 } as const
  const plain = await convertModel(checkpoint, out)
  const scaled = await convertModel(checkpoint, out, { ropeOverride })
  const at = writtenAt(out)
  expect([plain.maxPositions, scaled.maxPositions]).toEqual([64, 128])
  expect([await convertModel(checkpoint, out, { ropeOverride }), writtenAt(out)]).toEqual([
    scaled,
    at,
  ])
  expect(await convertModel(checkpoint, out)).toEqual(plain)
})

test('embedding and head of 4 bits make a conversion of their own', async () => {
  const { checkpoint, out } = folders()
  model.write(checkpoint)
  const format = { dtype: 'auto', quantization: 'int4' } as const
  const convert = (more: Partial<FormatWish> = {}) =>
    convertModel(checkpoint, out, { format: { ...format, ...more } })
  const usual = await convert()
  const small = await convert({ embeddingQuantization: 'int4' })
  const at = writtenAt(out)
  expect(await convert({ embeddingQuantization: 'int4' })).toEqual(small)
  expect(writtenAt(out)).toBe(at)
  expect(await convert({ embeddingQuantization: 'int8' })).toEqual(usual)
  expect([usual, small]).toMatchObject([
    { quantization: 'int4', embeddingQuantization: 'int8' },
    { quantization: 'int4', embeddingQuantization: 'int4' },
  ])
})

test('rows of the embedding that are no whole blocks stay as they are, and are refused where bits were asked for', async () => {
  const { checkpoint, out } = folders()
  new TinyLlama({ hidden_size: 48, num_attention_heads: 3, num_key_value_heads: 3 }).write(
    checkpoint,
  )
  const format = { dtype: 'auto', quantization: 'int4' } as const
  expect(await convertModel(checkpoint, out, { format })).toMatchObject({ quantization: 'int4' })
  const asked = { ...format, embeddingQuantization: 'int4' } as const
  await expect(convertModel(checkpoint, out, { format: asked })).rejects.toThrow(
    'embedding and head have rows of its hidden size 48, no whole blocks of 32 for int4',
  )
})

test.each<[string, (checkpoint: string, out: string) => void]>([
  [
    'the weights are newer',
    (checkpoint) => utimesSync(join(checkpoint, 'model.safetensors'), 9, 9),
  ],
  [
    'the config differs',
    (checkpoint) => new TinyLlama({ pad_token_id: 3 }).writeConfig(checkpoint),
  ],
  ['the manifest is gone', (_, out) => rmSync(join(out, 'manifest.json'))],
  ['the manifest is damaged', (_, out) => writeFileSync(join(out, 'manifest.json'), '{')],
  ['the weights are cut off', (_, out) => writeFileSync(join(out, 'weights.bin'), 'x')],
  [
    'the manifest is of another format',
    (_, out) => writeFileSync(join(out, 'manifest.json'), '{"formatVersion": 99}'),
  ],
])('a conversion is made anew when %s', async (_name, change) => {
  const { checkpoint, parent, out } = folders()
  model.write(checkpoint)
  await convertModel(checkpoint, out)
  change(checkpoint, out)
  utimesSync(join(out, 'weights.bin'), 1, 1)
  await convertModel(checkpoint, out)
  expect(writtenAt(out)).not.toBe(1000)
  expect(readdirSync(parent)).toEqual(['graph'])
  expectRightLogits(out)
})

test('other weights replace the old conversion, while a decoder still runs on it', async () => {
  const { checkpoint, out } = folders()
  model.write(checkpoint)
  await convertModel(checkpoint, out)
  const decoder = new Decoder(out, { slots: 1, capacity: 16, intraOpNumThreads: 1 })
  const other = new TinyLlama({}, 77)
  other.write(checkpoint)
  utimesSync(join(checkpoint, 'model.safetensors'), 9, 9)
  await convertModel(checkpoint, out)
  const logits = decoder.prefill(0, 0, prompt)
  decoder.close()
  expect(maxDifference(logits, model.logits(prompt).at(-1) ?? [])).toBeLessThan(2e-5)
  expectRightLogits(out, other)
})

test('weights in several files make the same model', async () => {
  const { checkpoint, out } = folders()
  model.writeConfig(checkpoint)
  const names = Object.keys(model.tensors)
  const half = names.length / 2
  const fileOf = (index: number): string => (index < half ? 'a.safetensors' : 'b.safetensors')
  for (const file of ['a.safetensors', 'b.safetensors']) {
    const own = Object.entries(model.tensors).filter((_, index) => fileOf(index) === file)
    writeFloat32Tensors(join(checkpoint, file), Object.fromEntries(own))
  }
  const weightMap = Object.fromEntries(names.map((name, index) => [name, fileOf(index)]))
  writeFileSync(
    join(checkpoint, 'model.safetensors.index.json'),
    JSON.stringify({ weight_map: weightMap }),
  )
  await convertModel(checkpoint, out)
  expectRightLogits(out)
})

test('processes and calls that convert at once end with one whole conversion', async () => {
  const { checkpoint, parent, out } = folders()
  model.write(checkpoint)
  const script = fileURLToPath(new URL('./convert-process.ts', import.meta.url))
  const inProcess = async (): Promise<string> => {
    const { stdout } = await promisify(execFile)(process.execPath, [script, checkpoint, out])
    return stdout
  }
  const here = async (): Promise<string> => (await convertModel(checkpoint, out)).fingerprint
  const fingerprints = await Promise.all([inProcess(), inProcess(), inProcess(), here(), here()])
  expect(new Set(fingerprints).size).toBe(1)
  expect(readdirSync(parent)).toEqual(['graph'])
  expectRightLogits(out)
})

test('many calls that replace an old conversion at once end with one whole conversion', async () => {
  const { checkpoint, parent, out } = folders()
  model.write(checkpoint)
  await convertModel(checkpoint, out)
  utimesSync(join(checkpoint, 'model.safetensors'), 9, 9)
  await Promise.all(Array.from({ length: 6 }, () => convertModel(checkpoint, out)))
  expect(readdirSync(parent)).toEqual(['graph'])
  expectRightLogits(out)
})

test('a folder with other files in it is never replaced', async () => {
  const { checkpoint, parent, out } = folders()
  model.write(checkpoint)
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'thesis.txt'), 'ten years')
  await expect(convertModel(checkpoint, out)).rejects.toThrow(
    'it holds thesis.txt, which is not of a converted model: choose an empty folder',
  )
  expect([readFileSync(join(out, 'thesis.txt'), 'utf8'), readdirSync(parent)]).toEqual([
    'ten years',
    ['graph'],
  ])
})

test.each([
  ['model.onnx', 'a model of my own'],
  ['manifest.json', '{"name": "a web page", "formatVersion": "1", "fingerprint": "x"}'],
  ['weights.bin', 'a thousand hours'],
  ['checksums.txt', `${'a'.repeat(64)}  model.onnx\n`],
])("a folder that holds only somebody's own %s is never replaced", async (name, text) => {
  const { checkpoint, out } = folders()
  model.write(checkpoint)
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, name), text)
  await expect(convertModel(checkpoint, out)).rejects.toThrow(`it holds ${name}, which is not of`)
  expect(readFileSync(join(out, name), 'utf8')).toBe(text)
})

test('a conversion of which a file is lost or cut off is made anew', async () => {
  const { checkpoint, out } = folders()
  model.write(checkpoint)
  const options = {
    isSelfContained: true,
    parallel: { tensorParallelSize: 2, pipelineParallelSize: 1 },
  }
  writeFileSync(join(checkpoint, 'tokenizer.json'), '{"model": {}}')
  await convertModel(checkpoint, out, options)
  const hashes = folderHashes(out)
  expect(Object.keys(hashes)).toContain('tokenizer.json')
  for (const name of Object.keys(hashes)) {
    for (const damage of [() => rmSync(join(out, name)), () => truncateSync(join(out, name))]) {
      damage()
      await convertModel(checkpoint, out, options)
      expect(folderHashes(out), name).toEqual(hashes)
    }
  }
})

test.each<[string, object, string]>([
  ['a missing tensor', { num_hidden_layers: 4 }, 'no tensor model.layers.3.input_layernorm.weight'],
  [
    'a tensor of another shape',
    { intermediate_size: 96 },
    'tensor model.layers.0.mlp.gate_proj.weight is [80, 64], but by its configuration it must be [96, 64]',
  ],
  ['an unknown architecture', { architectures: ['GPT2LMHeadModel'] }, 'GPT2LMHeadModel is unknown'],
])(
  'a checkpoint with %s is refused, and nothing is left behind',
  async (_name, fields, message) => {
    const { checkpoint, parent, out } = folders()
    mkdirSync(parent)
    model.write(checkpoint)
    writeFileSync(
      join(checkpoint, 'config.json'),
      JSON.stringify({
        ...JSON.parse(readFileSync(join(checkpoint, 'config.json'), 'utf8')),
        ...fields,
      }),
    )
    await expect(convertModel(checkpoint, out)).rejects.toThrow(ModelFolderError)
    await expect(convertModel(checkpoint, out)).rejects.toThrow(message)
    expect(readdirSync(parent)).toEqual([])
  },
)

test('a folder that holds no model is refused', async () => {
  const { checkpoint, out } = folders()
  await expect(convertModel(checkpoint, out)).rejects.toThrow('it holds no weights')
  model.write(checkpoint)
  rmSync(join(checkpoint, 'config.json'))
  await expect(convertModel(checkpoint, out)).rejects.toThrow(/cannot use .*config\.json: ENOENT/)
})
