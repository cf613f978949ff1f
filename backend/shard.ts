/** `burrow shard`: converts a model ahead of serving it, or reads a converted one back. */
import { ConfigError } from '../shared/config-error.ts'
import { resolve } from 'node:path'
import type { FlagValues } from '../shared/flags.ts'
import { formatByteSize } from './byte-size.ts'
import { isConverted } from './checkpoint/converted-folder.ts'
import {
  convertOptions,
  readConversionFlags,
  type ConversionFlags,
} from './conversion/conversion-flags.ts'
import { convertModel } from './conversion/convert.ts'
import { ProgressBar, type ProgressStream } from './conversion/progress-bar.ts'
import type { Progress } from './conversion/progress.ts'
import { verifyConversion } from './conversion/verify.ts'
import { isModel } from './config.ts'
import type { Manifest } from './graph/manifest.ts'
import { FlagReader } from './read-flags.ts'

export type ShardConfig =
  | { readonly verify: string }
  | { readonly model: string; readonly out: string; readonly conversion: ConversionFlags }

/**
 * @param words what is no flag: the model
 * @throws ConfigError with all problems together
 */
export const parseShardConfig = (
  words: readonly string[],
  flags: FlagValues,
  env: FlagValues,
): ShardConfig => {
  const reader = new FlagReader(flags, env)
  const { verify, ...others } = flags
  const { problems } = reader
  if (verify) {
    const stray = [...words, ...Object.keys(others).map((name) => `--${name}`)]
    if (stray.length === 0) return { verify: resolve(verify) }
    throw new ConfigError([`--verify DIR stands alone: leave out ${stray.join(' ')}`])
  }
  const [model = reader.text('model'), ...more] = words
  if (words.length > 0 && flags.model !== undefined) more.push(`--model ${flags.model}`)
  if (more.length > 0) problems.push(`burrow shard takes one model, not also ${more.join(' ')}`)
  if (model === undefined) problems.push('name the model: burrow shard MODEL --out DIR')
  else if (!isModel(resolve(model))) {
    problems.push(`${resolve(model)} is no model folder and no .gguf file`)
  } else if (isConverted(resolve(model))) {
    problems.push(`${resolve(model)} is converted already: name the original model`)
  }
  const out = flags.out
  if (!out) problems.push('say where the converted model goes: --out DIR')
  const conversion = readConversionFlags(reader)
  if (problems.length > 0 || model === undefined || !out) throw new ConfigError(problems)
  return { model: resolve(model), out: resolve(out), conversion }
}

/** Somebody wanted the work to end before it was done. */
export class ShardStopped extends Error {
  override readonly name = 'ShardStopped'
}

/** As a shell takes it. */
const quoted = (path: string): string =>
  /^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`

const quantizationText = ({ quantization, embeddingQuantization }: Manifest): string =>
  `quantization ${quantization}` +
  (embeddingQuantization === quantization ? '' : ` with ${embeddingQuantization} embedding`)

/** Told about the work, and asked to stop it. */
export type ShardHost = {
  readonly output: { write(text: string): unknown }
  readonly progress: ProgressStream
  readonly signal: AbortSignal
}

/**
 * @throws what {@link convertModel} and {@link verifyConversion} throw; ShardStopped, which says how to go on,
 * when the signal ended the work
 */
export const runShard = async (config: ShardConfig, host: ShardHost): Promise<void> => {
  const bar = new ProgressBar(host.progress)
  let hasWorked = false
  const onProgress = (progress: Progress): void => {
    hasWorked = true
    bar.update(progress)
  }
  const { output, signal } = host
  const startMs = performance.now()
  const speed = (bytes: number): string => {
    const seconds = (performance.now() - startMs) / 1000
    return `${formatByteSize(bytes)} in ${seconds.toFixed(1)} s`
  }
  try {
    if ('verify' in config) {
      const bytes = await verifyConversion(config.verify, { onProgress, signal })
      bar.end()
      output.write(`${config.verify} is as it was written: ${speed(bytes)}\n`)
      return
    }
    const { model, out, conversion } = config
    const options = convertOptions(conversion)
    const manifest = await convertModel(model, out, {
      ...options,
      isSelfContained: true,
      onProgress,
      onWait: () => host.progress.write(`waiting for another process that converts to ${out}\n`),
      signal,
    })
    bar.end()
    const { tensorParallelSize, pipelineParallelSize, dtype, weightsBytes } = manifest
    const ranks = tensorParallelSize * pipelineParallelSize
    output.write(
      `${out}: ${ranks} ${ranks === 1 ? 'rank' : 'ranks'} of ${dtype}, ${quantizationText(manifest)}, ` +
        `${hasWorked ? speed(weightsBytes) : 'is up to date'}\nServe it: burrow up --model ${quoted(out)}\n`,
    )
  } catch (error) {
    bar.end()
    // Not what went wrong after the signal.
    const isStop =
      error === signal.reason || (error instanceof Error && error.name === 'AbortError')
    if (!signal.aborted || !isStop) throw error
    const next = 'verify' in config ? '' : '; the same command goes on where it was'
    throw new ShardStopped(`stopped${next}`, { cause: error })
  }
}
