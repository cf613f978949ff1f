/** Converts a checkpoint into the folder that decoder.ts runs, once. */
import { mkdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Log } from '../../shared/log.ts'
import { Checkpoint } from '../checkpoint/checkpoint.ts'
import { readConfigText } from '../checkpoint/config-text.ts'
import { parseConfig } from '../checkpoint/config.ts'
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import type { Manifest } from '../graph/manifest.ts'
import { planShards, type ParallelSizes } from '../graph/shard-plan.ts'
import { plainFormat } from '../graph/weight-format.ts'
import { fillGaps, type FileRange } from './checksums.ts'
import { planConversion, type ConversionPlan } from './conversion-plan.ts'
import { findConversion } from './find-conversion.ts'
import { finishFolder } from './finish-folder.ts'
import { fingerprint } from './fingerprint.ts'
import { withFolderLock } from './folder-lock.ts'
import { tellFullDisk } from './full-disk.ts'
import { completeWish, type FormatWish } from './format-wish.ts'
import type { FinishedPiece } from './journal.ts'
import { removeLeftovers } from './leftovers.ts'
import { refuseMountPoint, resolveOutFolder } from './out-folder.ts'
import { hasJournal, openPartialFolder } from './partial-folder.ts'
import type { WrittenRange } from './piece-writer.ts'
import { pieceBytes } from './pieces.ts'
import type { Progress } from './progress.ts'
import { publishFolder, refuseForeignFiles } from './publish-folder.ts'
import { checkSources } from './source-checksums.ts'
import { readTextFiles } from './text-files.ts'
import { defaultTuning, type Tuning } from './tuning.ts'
import { writePieces } from './write-pieces.ts'

export type ConvertOptions = {
  readonly log?: Log | undefined
  /** In place of the config's rotary scaling. */
  readonly ropeOverride?: RopeOverride | undefined
  /** Default: one rank that has the whole model. */
  readonly parallel?: ParallelSizes | undefined
  /** Default: float32, not quantised. */
  readonly format?: FormatWish | undefined
  /** Puts configuration, tokenizer and chat template beside the weights: the checkpoint may go then. */
  readonly isSelfContained?: boolean | undefined
  /** Not told when there is nothing to do. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
  /** Told once when another process converts to the same folder, which this one waits for. */
  readonly onWait?: (() => void) | undefined
  /** Stops the conversion, which the next one goes on with. */
  readonly signal?: AbortSignal | undefined
  /** For measurements and tests. */
  readonly tuning?: Partial<Tuning> | undefined
}

const alone: ParallelSizes = { tensorParallelSize: 1, pipelineParallelSize: 1 }

/** Ranges of the files of weights, with the zeros between them. */
const weightRanges = (
  { outputs }: ConversionPlan,
  finished: readonly FinishedPiece[],
): FileRange[] => {
  const ranges = outputs.map((): WrittenRange[] => [])
  for (const range of finished.flatMap((piece) => piece.ranges)) ranges[range.file]?.push(range)
  return outputs.flatMap(({ name, numBytes }, file) => fillGaps(name, numBytes, ranges[file] ?? []))
}

/** Does what is left to do in the partial folder, and makes it whole. */
const convertInto = async (
  partial: string,
  plan: ConversionPlan,
  source: string,
  { onProgress, signal, tuning }: ConvertOptions,
): Promise<Manifest> => {
  const { valuesPerPiece } = plan
  const head = { fingerprint: source, numPieces: plan.pieces.length, valuesPerPiece }
  const { journal, finished } = await openPartialFolder(partial, head, plan.outputs)
  const done = new Map(finished.map((piece) => [piece.id, piece]))
  try {
    const numbered = plan.pieces.map((piece, id) => ({ ...piece, id }))
    const totalBytes = numbered.reduce((sum, piece) => sum + pieceBytes(piece), 0)
    const pieces = numbered.filter(({ id }) => !done.has(id))
    const resumedBytes = totalBytes - pieces.reduce((sum, piece) => sum + pieceBytes(piece), 0)
    let doneBytes = resumedBytes
    onProgress?.({ doneBytes, totalBytes, resumedBytes })
    const written = await writePieces({
      pieces,
      outputs: plan.outputs.map(({ name }) => join(partial, name)),
      config: plan.config,
      journal,
      onWritten: (numBytes) => {
        doneBytes += numBytes
        onProgress?.({ doneBytes, totalBytes, resumedBytes })
      },
      signal,
      tuning: { ...defaultTuning, ...tuning },
    })
    for (const piece of written) done.set(piece.id, piece)
    if (done.size < plan.pieces.length) signal?.throwIfAborted()
    checkSources(plan.pieces, [...done.values()])
  } catch (error) {
    // A model that cannot be converted: nobody will go on with it. (From a thread it comes as a copy.)
    if (error instanceof Error && error.name === 'ModelFolderError') {
      await rm(partial, { recursive: true, force: true })
    }
    throw error
  } finally {
    await journal.close()
  }
  return finishFolder(partial, plan, source, weightRanges(plan, [...done.values()]))
}

/**
 * Writes graphs, weights, checksums and manifest.json of a checkpoint (config.json with safetensors or
 * PyTorch files, or GGUF) to `outPath`, for one rank or for several, or leaves them when they are up to
 * date. The folder appears whole or not at all: it grows beside its place, as `outPath.partial`. When
 * that is interrupted, by whatever, the next call with the same options goes on with it. Of processes that
 * convert to the same folder one works and the others wait.
 * @param modelFolder or a .gguf file
 * @param outPath of a folder, made with its parents; it may hold an older conversion, and nothing else
 * @throws ModelFolderError that names the file at fault, or the room that the disk lacks; ShardingError; the
 * signal's reason
 */
export const convertModel = async (
  modelFolder: string,
  outPath: string,
  options: ConvertOptions = {},
): Promise<Manifest> => {
  const { log, ropeOverride, parallel = alone, signal } = options
  const outFolder = await resolveOutFolder(outPath)
  const { path: configPath, text: configText } = await readConfigText(modelFolder)
  const config = parseConfig(configPath, configText, ropeOverride)
  const format = completeWish(options.format ?? plainFormat, config, configPath)
  const shards = planShards(config, parallel, format.quantization)
  const textFiles =
    options.isSelfContained === true
      ? await readTextFiles(modelFolder)
      : new Map<string, Uint8Array>()
  const { tensorParallelSize, pipelineParallelSize } = parallel
  const wish = { tensorParallelSize, pipelineParallelSize, ...format, ropeOverride }
  const texts = new Map<string, string | Uint8Array>([['config', configText], ...textFiles])
  const source = await fingerprint(modelFolder, wish, texts)
  const find = (folder: string) => findConversion(folder, source, config, textFiles.keys())
  const existing = await find(outFolder)
  if (existing !== null) return existing
  await refuseMountPoint(outFolder)

  const checkpoint = await Checkpoint.open(modelFolder)
  let plan: ConversionPlan
  try {
    plan = await planConversion(checkpoint, {
      config,
      shards,
      parallel,
      format,
      ropeOverride,
      textFiles,
      valuesPerPiece: { ...defaultTuning, ...options.tuning }.valuesPerPiece,
    })
  } finally {
    await checkpoint.close()
  }
  await mkdir(dirname(outFolder), { recursive: true })
  const partial = `${outFolder}.partial`
  const onWait = () => {
    log?.info('waiting for another process that converts to the same folder')
    options.onWait?.()
  }
  const convert = async (): Promise<Manifest> => {
    await removeLeftovers(outFolder, partial)
    const meanwhile = await find(outFolder)
    if (meanwhile !== null) {
      await rm(partial, { recursive: true, force: true })
      return meanwhile
    }
    await refuseForeignFiles(outFolder)
    log?.info('converting model', { model: basename(modelFolder) })
    // One that was killed after its last piece needs no work but this.
    const whole = hasJournal(partial) ? null : await find(partial)
    if (whole !== null) {
      const totalBytes = plan.pieces.reduce((sum, piece) => sum + pieceBytes(piece), 0)
      options.onProgress?.({ doneBytes: totalBytes, totalBytes, resumedBytes: totalBytes })
    }
    const manifest = whole ?? (await convertInto(partial, plan, source, options))
    await publishFolder(partial, outFolder)
    log?.info('converted model', { bytes: manifest.weightsBytes })
    return manifest
  }
  return tellFullDisk(dirname(outFolder), () =>
    withFolderLock(`${outFolder}.lock`, { onWait, signal }, convert),
  )
}
