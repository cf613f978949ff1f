/** Converts a checkpoint into the folder that decoder.ts runs, once. */
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Log } from '../../shared/log.ts'
import { Checkpoint } from '../checkpoint/checkpoint.ts'
import { readConfigText } from '../checkpoint/config-text.ts'
import { parseConfig, type ModelConfig } from '../checkpoint/config.ts'
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import { encodeModel } from '../onnx/model.ts'
import { decoderGraph } from './decoder-graph.ts'
import { fingerprint } from './fingerprint.ts'
import { formatVersion, graphFiles, readManifest, type Manifest } from './manifest.ts'
import { publishFolder, removeLeftovers } from './publish-folder.ts'
import { externalInitializers, placeWeights, writeWeights } from './weights-file.ts'
import { decoderWeights } from './weights.ts'

/** The conversion in `folder`, if it is whole and of this fingerprint. */
const findConversion = async (folder: string, wanted: string): Promise<Manifest | null> => {
  try {
    const manifest = readManifest(folder)
    const { size } = await stat(join(folder, graphFiles.weights))
    return manifest.fingerprint === wanted && size === manifest.weightsBytes ? manifest : null
  } catch {
    // Missing, half or of another version: converting anew is the answer to each.
    return null
  }
}

const writeConversion = async (
  modelFolder: string,
  folder: string,
  config: ModelConfig,
  source: string,
): Promise<Manifest> => {
  const weights = placeWeights(decoderWeights(config))
  const checkpoint = await Checkpoint.open(modelFolder)
  try {
    const weightsPath = join(folder, graphFiles.weights)
    const weightsBytes = await writeWeights(weightsPath, weights, config, checkpoint)
    const graph = decoderGraph(config, externalInitializers(weights, graphFiles.weights))
    const { numLayers, numKvHeads, headDim, vocabSize, maxPositions } = config
    const sizes = { numLayers, numKvHeads, headDim, vocabSize, maxPositions }
    const manifest: Manifest = { formatVersion, fingerprint: source, ...sizes, weightsBytes }
    await writeFile(join(folder, graphFiles.model), encodeModel(graph))
    await writeFile(join(folder, graphFiles.manifest), `${JSON.stringify(manifest, null, 2)}\n`)
    return manifest
  } finally {
    await checkpoint.close()
  }
}

export type ConvertOptions = {
  readonly log?: Log | undefined
  /** In place of the config's rotary scaling. */
  readonly ropeOverride?: RopeOverride | undefined
}

/**
 * Writes model.onnx, weights.bin and manifest.json of a checkpoint (config.json with safetensors or
 * PyTorch files, or GGUF) to `outFolder`, or leaves them when they are up to date. The folder
 * appears whole or not at all;
 * processes that convert at once end with one whole conversion. Weights become float32: `outFolder`
 * takes twice a 16-bit checkpoint's size.
 * @param modelFolder or a .gguf file
 * @param outFolder made with its parents; it may hold an older conversion, and nothing else
 * @throws ModelFolderError that names the file at fault
 */
export const convertModel = async (
  modelFolder: string,
  outFolder: string,
  { log, ropeOverride }: ConvertOptions = {},
): Promise<Manifest> => {
  const { path: configPath, text: configText } = await readConfigText(modelFolder)
  const config = parseConfig(configPath, configText, ropeOverride)
  const source = await fingerprint(modelFolder, configText, { ropeOverride })
  const existing = await findConversion(outFolder, source)
  if (existing !== null) return existing

  const parent = dirname(outFolder)
  await mkdir(parent, { recursive: true })
  await removeLeftovers(outFolder)
  const temporary = await mkdtemp(join(parent, `${basename(outFolder)}.tmp-`))
  try {
    log?.info('converting model', { model: basename(modelFolder) })
    const manifest = await writeConversion(modelFolder, temporary, config, source)
    await publishFolder(temporary, outFolder, async () => {
      return (await findConversion(outFolder, source)) !== null
    })
    log?.info('converted model', { bytes: manifest.weightsBytes })
    return manifest
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}
