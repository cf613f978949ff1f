/**
 * ONNX Runtime 1.30 collects how it is used, in a database in the user's home, and sends it to its makers.
 * Nothing of what runs here is theirs to know.
 */
import { isMainThread } from 'node:worker_threads'
import koffi from 'koffi'

const variable = 'ORT_DISABLE_TELEMETRY'

/** The C library, whose environment ONNX Runtime reads. */
const cLibraries: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'libc.so.6',
  darwin: 'libSystem.dylib',
}

/** To be called before the library is loaded: it looks only then. */
export const disableTelemetry = (): void => {
  // A worker has a copy of what the main thread had: then it is done.
  if (process.env[variable] === '1') return
  process.env[variable] = '1'
  // A worker's own change is one of its copy, which no library sees.
  const library = cLibraries[process.platform]
  if (isMainThread || library === undefined) return
  koffi.load(library).func('setenv', 'int', ['str', 'str', 'int'])(variable, '1', 1)
}
