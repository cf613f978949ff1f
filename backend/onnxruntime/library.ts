/** Finds ONNX Runtime's shared library inside the package onnxruntime-node, loads and checks it. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import koffi, { type LibraryHandle } from 'koffi'
import { disableTelemetry } from './telemetry.ts'

/** The oldest `OrtApi` that has every function in api.ts: the table is append-only. */
const apiVersion = 22

/** Group-query attention in place and the fused operators were measured with this release. */
const oldestRelease = { major: 1, minor: 30 }

/** Where the package keeps the library of each platform, below its `bin/napi-v6`. */
const libraries: Readonly<Record<string, string>> = {
  'linux-x64': 'linux/x64/libonnxruntime.so.1',
  'linux-arm64': 'linux/arm64/libonnxruntime.so.1',
  'darwin-arm64': 'darwin/arm64/libonnxruntime.1.dylib',
  'win32-x64': 'win32/x64/onnxruntime.dll',
  'win32-arm64': 'win32/arm64/onnxruntime.dll',
}

/** The library's path below onnxruntime-node's folder. @throws on a platform without one */
export const libraryPath = (platform: string, arch: string): string => {
  const path = libraries[`${platform}-${arch}`]
  if (path !== undefined) return join('bin', 'napi-v6', path)
  throw new Error(
    `onnxruntime-node has no library for ${platform}-${arch}; it runs on ${Object.keys(libraries).join(', ')}`,
  )
}

/** @throws unless `version`, as `GetVersionString` tells it, is one that this code works with */
export const checkVersion = (version: string): void => {
  const [major, minor] = version.split('.').map(Number)
  const { major: wantedMajor, minor: wantedMinor } = oldestRelease
  if (major === wantedMajor && minor !== undefined && minor >= wantedMinor) return
  throw new Error(
    `ONNX Runtime ${version} is installed, but ${wantedMajor}.${wantedMinor} or a later ${wantedMajor}.x is needed: run npm install`,
  )
}

const findLibrary = (): string => {
  const manifest = createRequire(import.meta.url).resolve('onnxruntime-node/package.json')
  const path = join(dirname(manifest), libraryPath(process.platform, process.arch))
  if (existsSync(path)) return path
  throw new Error(`the package onnxruntime-node is incomplete, ${path} is missing: run npm install`)
}

export type Library = {
  /** E.g. `1.30.0`. */
  readonly version: string
  /** The address of `struct OrtApi`, a table of function pointers. */
  readonly api: bigint
  /** koffi unmaps the library when this is garbage: keep it for as long as `api` is called. */
  readonly handle: LibraryHandle
}

/**
 * Loads the library (a process has it once, however often this is called) and asks `OrtGetApiBase`
 * for the function table.
 * @throws when the platform, the package or the version does not fit
 */
export const loadLibrary = (): Library => {
  disableTelemetry()
  const handle = koffi.load(findLibrary())
  // struct OrtApiBase { const OrtApi *(*GetApi)(uint32_t); const char *(*GetVersionString)(); }
  const base: bigint = handle.func('OrtGetApiBase', 'void *', [])()
  const [getApi, getVersion]: [bigint, bigint] = koffi.decode(base, koffi.array('void *', 2))
  const version: string = koffi.decode(getVersion, koffi.proto('const char *', []))()
  checkVersion(version)
  const api: bigint | null = koffi.decode(getApi, koffi.proto('void *', ['uint32_t']))(apiVersion)
  if (api === null) throw new Error(`ONNX Runtime ${version} does not offer C API ${apiVersion}`)
  return { version, api, handle }
}
