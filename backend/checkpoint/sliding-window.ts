/**
 * How far back each layer's attention reaches: a window of W lets a token see the W last positions,
 * its own among them; null lets it see all. Rules and defaults as in transformers' configurations.
 */
import type { JsonFile } from './json-file.ts'

/** One entry a layer. */
export type SlidingWindows = readonly (number | null)[]

const defaultWindow = 4096
const defaultMaxWindowLayers = 28

/** A field that is null means no window; a field left out means the default. */
const readWindow = (file: JsonFile): number | null =>
  file.fields.sliding_window === null ? null : (file.count('sliding_window') ?? defaultWindow)

export const noWindows = (numLayers: number): SlidingWindows =>
  Array.from({ length: numLayers }, () => null)

/** Mistral: the same window in every layer. */
export const uniformWindows = (file: JsonFile, numLayers: number): SlidingWindows => {
  const window = readWindow(file)
  return Array.from({ length: numLayers }, () => window)
}

/** `layer_types`, or else the layers from `max_window_layers` on are the windowed ones. */
const windowedLayers = (file: JsonFile, numLayers: number): boolean[] => {
  const types: unknown = file.fields.layer_types ?? undefined
  if (types === undefined) {
    const first = file.index('max_window_layers') ?? defaultMaxWindowLayers
    return Array.from({ length: numLayers }, (_, layer) => layer >= first)
  }
  if (!Array.isArray(types) || types.length !== numLayers) {
    throw file.error(`layer_types must be a list of ${numLayers}, one for each layer`)
  }
  return types.map((type: unknown) => {
    if (type === 'sliding_attention') return true
    if (type === 'full_attention') return false
    throw file.error(
      `layer_types has ${JSON.stringify(type)}; 'full_attention' and 'sliding_attention' are known`,
    )
  })
}

/** Qwen2 and Qwen3: windows only with `use_sliding_window`, and in some layers. */
export const layeredWindows = (file: JsonFile, numLayers: number): SlidingWindows => {
  const window = (file.boolean('use_sliding_window') ?? false) ? readWindow(file) : null
  if (window !== null) {
    return windowedLayers(file, numLayers).map((isWindowed) => (isWindowed ? window : null))
  }
  if (file.fields.layer_types !== undefined && windowedLayers(file, numLayers).includes(true)) {
    throw file.error('layer_types has sliding_attention, but there is no sliding window')
  }
  return noWindows(numLayers)
}
