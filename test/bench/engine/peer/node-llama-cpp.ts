/**
 * node-llama-cpp, the peer that Burrow is compared with: installed into the scratch folder, since it is no
 * dependency of Burrow, and as much of its API as the benches use.
 */
import { pathToFileURL } from 'node:url'
import { makeOnce, scratchPath } from '../scratch.ts'
import { writeFileSync } from 'node:fs'

export const peerVersion = '3.22.1'

export type PeerSampling = {
  /** 0: greedy. */
  readonly temperature: number
  readonly topK?: number
  readonly topP?: number
  readonly seed?: number
  /** Whether tokens that end a text are given out like others, and the generation goes on. */
  readonly yieldEogToken: boolean
}

export type PeerNext = { readonly token: number; readonly logits: ReadonlyMap<number, number> }

type GenerateNext = {
  readonly generateNext: {
    readonly token: true
    /** The largest, before any sampling. */
    readonly logits: { readonly filter: { readonly includeTop: number } }
    readonly options: { readonly temperature: 0 }
  }
}

export type PeerSequence = {
  evaluate(
    tokens: readonly number[],
    sampling: PeerSampling,
  ): AsyncGenerator<number, void, undefined>
  /** Answers for each token that asks for what comes next. */
  controlledEvaluate(
    tokens: readonly (number | readonly [token: number, options: GenerateNext])[],
  ): Promise<({ readonly next: PeerNext } | undefined)[]>
  clearHistory(): Promise<void>
}

export type PeerContextOptions = {
  /** Sequences that are computed together. */
  readonly sequences: number
  /** Tokens of one sequence; rounded up to 256 of all together. */
  readonly contextSize: number
  /** Tokens that are computed together. */
  readonly batchSize: number
  readonly flashAttention: boolean
  /** With a minimum it never takes fewer. */
  readonly threads: { readonly ideal: number; readonly min: number }
  /** Default: F16. */
  readonly experimentalKvCacheKeyType?: 'F32' | 'F16'
  readonly experimentalKvCacheValueType?: 'F32' | 'F16'
}

export type PeerContext = { getSequence(): PeerSequence; dispose(): Promise<void> }

export type PeerModel = {
  tokenize(text: string, specialTokens: boolean): number[]
  detokenize(tokens: readonly number[]): string
  createContext(options: PeerContextOptions): Promise<PeerContext>
  dispose(): Promise<void>
}

export type Peer = {
  loadModel(options: { readonly modelPath: string; readonly useMmap: boolean }): Promise<PeerModel>
  dispose(): Promise<void>
}

type PeerModule = {
  getLlama(options: {
    readonly gpu: false
    readonly build: 'never'
    readonly logLevel: 'error'
  }): Promise<Peer>
}

const folder = scratchPath('node-llama-cpp')
const packageFolder = scratchPath('node-llama-cpp', 'node_modules', 'node-llama-cpp')

/** Installs it from npm, once, without the binaries for GPUs. */
export const installPeer = (): void => {
  const platform = `@node-llama-cpp/linux-${process.arch}`
  const dependencies = { 'node-llama-cpp': peerVersion, [platform]: peerVersion }
  writeFileSync(`${folder}/package.json`, JSON.stringify({ private: true, dependencies }))
  const flags = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund']
  makeOnce(packageFolder, 'npm', ['install', ...flags], folder)
}

/** Loads the code, and not yet the library; {@link installPeer} was called. */
export const importPeer = (): Promise<PeerModule> =>
  import(pathToFileURL(`${packageFolder}/dist/index.js`).href)

export const startPeer = async ({ getLlama }: PeerModule): Promise<Peer> =>
  getLlama({ gpu: false, build: 'never', logLevel: 'error' })
