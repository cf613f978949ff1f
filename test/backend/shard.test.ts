/** `burrow shard`: what it takes, what it says, and that its folder needs nothing else. */
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../backend/config.ts'
import { withFolderLock } from '../../backend/conversion/folder-lock.ts'
import { openModel } from '../../backend/conversion/open-model.ts'
import { formatSeconds, ProgressBar, progressText } from '../../backend/conversion/progress-bar.ts'
import { readGenerationConfig } from '../../backend/generation-config.ts'
import { parseShardConfig, runShard, ShardStopped, type ShardConfig } from '../../backend/shard.ts'
import { loadTextFormat } from '../../backend/tokenizer/load-tokenizer.ts'
import { ConfigError } from '../../shared/config-error.ts'
import { silentLog } from '../support/silent-log.ts'
import { tempFolder } from '../support/temp-folder.ts'

const nothingSaid = {
  tensorParallelSize: undefined,
  pipelineParallelSize: undefined,
  dtype: undefined,
  quantization: undefined,
  embeddingQuantization: undefined,
  ropeOverride: undefined,
}

/** Runs it and returns what it prints. */
const run = async (config: ShardConfig, signal = new AbortController().signal): Promise<string> => {
  let text = ''
  const output = { write: (more: string) => (text += more) }
  await runShard(config, { output, progress: { write: () => {} }, signal })
  return text
}

const problems = (parse: () => unknown): readonly string[] => {
  try {
    parse()
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  throw new Error('it was accepted')
}

test('the model is a word or a flag, and the rest as for serving', () => {
  const flags = { out: '/out', dtype: 'auto', quantization: 'int4', 'tensor-parallel-size': '2' }
  const conversion = { ...nothingSaid, dtype: 'auto', quantization: 'int4', tensorParallelSize: 2 }
  const expected = { model: bundledModelFolder, out: '/out', conversion }
  expect(parseShardConfig([bundledModelFolder], flags, {})).toEqual(expected)
  expect(parseShardConfig([], flags, { BURROW_MODEL: bundledModelFolder })).toEqual(expected)
  expect(parseShardConfig([], { verify: '/out' }, {})).toEqual({ verify: '/out' })
})

test('all that is wrong is told together', () => {
  const flags = { dtype: 'float8', quantization: 'int2', 'pipeline-parallel-size': '0' }
  expect(problems(() => parseShardConfig(['/nowhere', 'more'], flags, {}))).toEqual([
    'burrow shard takes one model, not also more',
    '/nowhere is no model folder and no .gguf file',
    'say where the converted model goes: --out DIR',
    '--pipeline-parallel-size must be a whole number from 1 on, not 0',
    '--dtype must be one of auto, float32, float16, bfloat16, not float8',
    '--quantization must be one of none, int8, int4, not int2',
  ])
  expect(problems(() => parseShardConfig([], {}, {}))[0]).toMatch(/^name the model/)
  expect(problems(() => parseShardConfig(['x'], { verify: '/out', out: '/y' }, {}))).toEqual([
    '--verify DIR stands alone: leave out x --out',
  ])
})

test('embedding and head have bits of their own only beside quantised layers, and no fewer', () => {
  const parse = (flags: object) => () =>
    parseShardConfig([bundledModelFolder], { out: '/out', ...flags }, {})
  expect(parse({ quantization: 'int4', 'embedding-quantization': 'int4' })()).toMatchObject({
    conversion: { quantization: 'int4', embeddingQuantization: 'int4' },
  })
  const reason = ': embedding and head are quantised where the layers are, and to no fewer bits'
  expect(problems(parse({ quantization: 'int8', 'embedding-quantization': 'int4' }))).toEqual([
    `--embedding-quantization int4 goes with --quantization int4${reason}`,
  ])
  expect(problems(parse({ 'embedding-quantization': 'int8' }))).toEqual([
    `--embedding-quantization int8 goes with --quantization int8 or int4${reason}`,
  ])
  expect(problems(parse({ quantization: 'int4', 'embedding-quantization': 'none' }))).toEqual([
    '--embedding-quantization must be one of int8, int4, not none',
  ])
})

test('its folder is served without the original, and only as it is', async () => {
  const root = tempFolder()
  const model = join(root, 'model')
  cpSync(bundledModelFolder, model, { recursive: true })
  const out = join(root, 'out')
  const conversion = { ...nothingSaid, pipelineParallelSize: 2, quantization: 'int4' } as const
  const said = await run({ model, out, conversion })
  expect(said).toContain(`${out}: 2 ranks of float16, quantization int4 with int8 embedding, `)
  expect(said).toContain(`Serve it: burrow up --model ${out}\n`)
  const before = await loadTextFormat(model)
  const generation = await readGenerationConfig(model)
  rmSync(model, { recursive: true })

  expect(await run({ verify: out })).toContain(`${out} is as it was written`)
  expect(await readGenerationConfig(out)).toEqual(generation)
  const { tokenizer, chatTemplate } = await loadTextFormat(out)
  expect(tokenizer.encode('12+30=?', true)).toEqual(before.tokenizer.encode('12+30=?', true))
  const messages = [{ role: 'user', content: 'hello' }] as const
  const options = { addGenerationPrompt: true }
  expect(chatTemplate?.render(messages, options)).toBe(
    before.chatTemplate?.render(messages, options),
  )
  const open = (flags: object) =>
    openModel(
      { modelFolder: out, home: join(root, 'home'), conversion: { ...nothingSaid, ...flags } },
      silentLog,
    )
  expect((await open({})).graphFolder).toBe(out)
  expect((await open({ dtype: 'auto', pipelineParallelSize: 2 })).manifest).toMatchObject({
    pipelineParallelSize: 2,
    dtype: 'float16',
    quantization: 'int4',
    embeddingQuantization: 'int8',
  })
  await expect(open({ dtype: 'float32', tensorParallelSize: 2 })).rejects.toThrow(
    'it was converted before, and cannot be served with --tensor-parallel-size 2, but it has 1; ' +
      '--dtype float32, but it has float16: leave that out, or convert the original model anew',
  )
  await expect(open({ quantization: 'int4', embeddingQuantization: 'int4' })).rejects.toThrow(
    'with --embedding-quantization int4, but it has int8: leave that out',
  )
  await expect(open({ ropeOverride: { type: 'yarn', factor: 2 } })).rejects.toThrow(
    "--rope-scaling yarn by 2, but it has the model's own",
  )
  expect(problems(() => parseShardConfig([out], { out: join(root, 'again') }, {}))).toEqual([
    `${out} is converted already: name the original model`,
  ])
  expect(readdirSync(root)).toEqual(['out'])
})

test('a cache has a folder for each form, and is used again', async () => {
  const home = tempFolder()
  const open = (flags: object) =>
    openModel(
      { modelFolder: bundledModelFolder, home, conversion: { ...nothingSaid, ...flags } },
      silentLog,
    )
  const forms = [
    {},
    { dtype: 'float32' },
    { quantization: 'int4' },
    { quantization: 'int4', embeddingQuantization: 'int4' },
    { pipelineParallelSize: 2 },
  ]
  const opened = []
  for (const form of forms) opened.push((await open(form)).graphFolder)
  expect(new Set(opened).size).toBe(5)
  expect((await open({ quantization: 'int4' })).manifest.quantization).toBe('int4')
  expect(readdirSync(join(home, 'models'))).toHaveLength(5)
})

test('a folder that only looks like a conversion is not replaced', async () => {
  const out = join(tempFolder(), 'tokenizer')
  mkdirSync(out)
  for (const name of ['config.json', 'tokenizer.json', 'model.onnx']) {
    writeFileSync(join(out, name), '{}')
  }
  const work = run({ model: bundledModelFolder, out, conversion: nothingSaid })
  await expect(work).rejects.toThrow('it holds config.json, which is not of a converted model')
  expect(readdirSync(out)).toHaveLength(3)
})

test('once stopped it says how to go on', async () => {
  const out = join(tempFolder(), 'out')
  const config = { model: bundledModelFolder, out, conversion: nothingSaid }
  await expect(run(config, AbortSignal.abort())).rejects.toThrow(
    'stopped; the same command goes on where it was',
  )
  await run(config)
  await expect(run({ verify: out }, AbortSignal.abort())).rejects.toThrow(/^stopped$/)
})

test('the model is named once', () => {
  const flags = { model: '/other', out: '/y' }
  expect(problems(() => parseShardConfig([bundledModelFolder], flags, {}))).toEqual([
    'burrow shard takes one model, not also --model /other',
  ])
})

test('a second time it says that there was nothing to do, and the path as a shell takes it', async () => {
  const out = join(tempFolder(), "my model's")
  const config = { model: bundledModelFolder, out, conversion: nothingSaid }
  const serve = `Serve it: burrow up --model '${out.replace("'", `'\\''`)}'\n`
  const first = await run(config)
  expect(first).not.toContain('up to date')
  expect(first).toContain(serve)
  const second = await run(config)
  expect(second).toContain('is up to date\n')
  expect(second).toContain(serve)
})

test('it says what it waits for, and what goes wrong after Ctrl-C is told as it is', async () => {
  const out = join(tempFolder(), 'out')
  const config = { model: bundledModelFolder, out, conversion: nothingSaid }
  const stop = new AbortController()
  const said: string[] = []
  const output = { write: (text: string) => said.push(text) }
  const waits = Promise.withResolvers<string>()
  await withFolderLock(`${out}.lock`, { onWait: () => {} }, async () => {
    const progress = { write: (text: string) => waits.resolve(text) }
    const work = runShard(config, { output, progress, signal: stop.signal })
    expect(await waits.promise).toBe(`waiting for another process that converts to ${out}\n`)
    stop.abort()
    await expect(work).rejects.toThrow(ShardStopped)
  })
  writeFileSync(out, 'a file')
  const host = { output, progress: { write: () => {} }, signal: stop.signal }
  await expect(runShard(config, host)).rejects.toThrow('it is a file, not a folder')
  expect(said).toEqual([])
})

test('progress is told with rate and time left', () => {
  const progress = { doneBytes: 3 * 2 ** 30, totalBytes: 4 * 2 ** 30, resumedBytes: 2 ** 30 }
  expect(progressText(progress, 4)).toBe('75% of 4 GiB, 512 MiB/s, 0:02 left')
  expect(progressText({ ...progress, doneBytes: 2 ** 30 }, 4)).toBe('25% of 4 GiB')
  expect([formatSeconds(0), formatSeconds(61.2), formatSeconds(3725)]).toEqual([
    '0:00',
    '1:02',
    '1:02:05',
  ])
  const lines: string[] = []
  const bar = new ProgressBar({ isTTY: true, write: (text) => lines.push(text) })
  bar.update({ doneBytes: 1, totalBytes: 2 })
  bar.update({ doneBytes: 2, totalBytes: 2 })
  bar.end()
  expect(lines).toEqual([
    `\r${'█'.repeat(12)}${'░'.repeat(12)} 50% of 2 B`,
    `\r${'█'.repeat(24)} 100% of 2 B`,
    '\n',
  ])
})
