/** Writes what a conversion has beside its weights: graphs, texts, manifest and checksums. */
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeModel } from '../onnx/model.ts'
import { decoderGraph } from '../graph/decoder-graph.ts'
import { formatVersion, graphFiles, type Manifest } from '../graph/manifest.ts'
import { segmentsOf } from '../graph/segments.ts'
import { externalInitializers } from '../graph/weights-file.ts'
import { checksumsFile, formatChecksums, rangeOf, type FileRange } from './checksums.ts'
import type { ConversionPlan } from './conversion-plan.ts'
import { removeJournal, unfinishedManifest } from './partial-folder.ts'
import { syncFiles, syncFolder } from './publish-folder.ts'

/** The graphs' files by name, one after the other: those of many ranks together may be large. */
function* graphsOf({ config, ranks }: ConversionPlan): Generator<[string, Uint8Array], void> {
  for (const { plan, files, weights } of ranks) {
    const initializers = externalInitializers(weights, files.weights)
    const model = { config, plan, weights, initializers, cacheScales: null }
    for (const [index, segment] of segmentsOf(plan).entries()) {
      yield [files.models[index] ?? '', encodeModel(decoderGraph(model, segment))]
    }
  }
}

const manifestOf = (plan: ConversionPlan, fingerprint: string): Manifest => {
  const { config, parallel, format, outputs, ropeOverride } = plan
  const { tensorParallelSize, pipelineParallelSize } = parallel
  const { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim } = config
  const sizes = { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim }
  const limits = { vocabSize: config.vocabSize, maxPositions: config.maxPositions }
  return {
    formatVersion,
    fingerprint,
    tensorParallelSize,
    pipelineParallelSize,
    ...format,
    ropeOverride: ropeOverride ?? null,
    ...sizes,
    ...limits,
    weightsBytes: outputs.reduce((sum, { numBytes }) => sum + numBytes, 0),
  }
}

/**
 * Makes a folder whole whose files of weights are; all is on disk when it returns. The manifest appears when
 * everything that it speaks for is on disk, and the journal goes after it: whatever moment a kill comes at, the
 * next conversion has either the journal, and does this again, or a folder that is whole.
 * @param weights the ranges of these files
 */
export const finishFolder = async (
  folder: string,
  plan: ConversionPlan,
  fingerprint: string,
  weights: readonly FileRange[],
): Promise<Manifest> => {
  const ranges = [...weights]
  const written: string[] = []
  const write = async (name: string, bytes: Uint8Array): Promise<void> => {
    await writeFile(join(folder, name), bytes)
    written.push(name)
    ranges.push(rangeOf(name, bytes))
  }
  const utf8 = new TextEncoder()
  for (const [name, bytes] of graphsOf(plan)) await write(name, bytes)
  for (const [name, bytes] of plan.textFiles) await write(name, bytes)
  const manifest = manifestOf(plan, fingerprint)
  const manifestBytes = utf8.encode(`${JSON.stringify(manifest, null, 2)}\n`)
  ranges.push(rangeOf(graphFiles.manifest, manifestBytes))
  await writeFile(join(folder, checksumsFile), formatChecksums(ranges))
  await writeFile(join(folder, unfinishedManifest), manifestBytes)
  await syncFiles(folder, [...written, checksumsFile, unfinishedManifest])
  await syncFolder(folder)
  await rename(join(folder, unfinishedManifest), join(folder, graphFiles.manifest))
  await syncFolder(folder)
  await removeJournal(folder)
  return manifest
}
