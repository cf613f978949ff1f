/** Compares what a manifest says of its model with the configuration that the model was converted with. */
import { join } from 'node:path'
import type { ModelConfig } from '../checkpoint/config.ts'
import { graphFiles, type Manifest } from '../graph/manifest.ts'
import { ModelFolderError } from '../model-folder-error.ts'

/** What the two have in common: the sizes that the graphs are made with. */
const sizes = [
  'hiddenSize',
  'intermediateSize',
  'numLayers',
  'numHeads',
  'numKvHeads',
  'headDim',
  'vocabSize',
  'maxPositions',
] as const satisfies readonly (keyof Manifest & keyof ModelConfig)[]

/**
 * @param folder of the manifest
 * @throws ModelFolderError that names the first field that differs
 */
export const requireConfig = (folder: string, manifest: Manifest, config: ModelConfig): void => {
  const wrong = sizes.find((name) => manifest[name] !== config[name])
  if (wrong === undefined) return
  throw new ModelFolderError(
    join(folder, graphFiles.manifest),
    `${wrong} is ${manifest[wrong]}, but by config.json ${config[wrong]}: convert the original model anew`,
  )
}
