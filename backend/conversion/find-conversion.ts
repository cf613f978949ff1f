/** Tells by the names and sizes of its files whether a folder holds a conversion that can be used. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModelConfig } from '../checkpoint/config.ts'
import { graphFiles, rankFiles, readManifest, type Manifest } from '../graph/manifest.ts'
import { planShards } from '../graph/shard-plan.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { checksumsFile, readChecksums, type FileRange } from './checksums.ts'
import { requireConfig } from './require-config.ts'

/** @throws ModelFolderError for a file that the checksums do not speak of */
export const requireNames = (
  folder: string,
  ranges: readonly FileRange[],
  names: readonly string[],
): void => {
  const known = new Set(ranges.map(({ name }) => name))
  const missing = names.find((name) => !known.has(name))
  if (missing === undefined) return
  throw new ModelFolderError(
    join(folder, checksumsFile),
    `it has no checksum of ${missing}: convert the model anew`,
  )
}

/** The files that a conversion with this manifest cannot be without. */
export const requiredFiles = (manifest: Manifest): string[] => {
  const plans = planShards(manifest, manifest, manifest.quantization)
  const files = plans.map((plan) => rankFiles(plans, plan))
  return [graphFiles.manifest, ...files.flatMap(({ weights, models }) => [weights, ...models])]
}

/** @throws ModelFolderError for a file that is missing or has another size than was written */
export const checkSizes = async (folder: string, ranges: readonly FileRange[]): Promise<void> => {
  const sizes = new Map<string, number>()
  for (const { name, offset, numBytes } of ranges) sizes.set(name, offset + numBytes)
  for (const [name, size] of sizes) {
    const path = join(folder, name)
    const found = await stat(path).catch((cause: unknown) => {
      throw new ModelFolderError(path, cause)
    })
    if (found.size === size) continue
    throw new ModelFolderError(path, `it has ${found.size} bytes, but ${size} were written`)
  }
}

/**
 * The conversion in `folder`, if it is whole and of this fingerprint and configuration.
 * @param textFiles names that must be there too
 */
export const findConversion = async (
  folder: string,
  fingerprint: string,
  config: ModelConfig,
  textFiles: Iterable<string>,
): Promise<Manifest | null> => {
  try {
    const manifest = readManifest(folder)
    if (manifest.fingerprint !== fingerprint) return null
    requireConfig(folder, manifest, config)
    const ranges = readChecksums(folder)
    requireNames(folder, ranges, [...requiredFiles(manifest), ...textFiles])
    await checkSizes(folder, ranges)
    return manifest
  } catch {
    // Missing, half or of another version: converting anew is the answer to each.
    return null
  }
}
