/** Starts a backend: model → engine → app → tunnel. */
import { availableParallelism, totalmem } from 'node:os'
import type { Log } from '../shared/log.ts'
import type { PeerReport } from '../shared/tunnel/connection-report.ts'
import { TrafficTotals } from '../shared/tunnel/traffic-totals.ts'
import { tunnelMetrics } from '../shared/tunnel/tunnel-metrics.ts'
import { createBackendApp } from './app.ts'
import { formatByteSize } from './byte-size.ts'
import type { BackendConfig } from './config.ts'
import type { Drained } from './control/listen.ts'
import { CutRequests } from './cut-requests.ts'
import { planCache } from './engine/cache-plan.ts'
import { OnnxEngine, ThreadStuck, type OnnxEngineOptions } from './engine/engine.ts'
import { RecoveringEngine } from './engine/recovering-engine.ts'
import type { BackendCredential } from './gateway-accounts.ts'
import { readGenerationConfig } from './generation-config.ts'
import { openModel } from './conversion/open-model.ts'
import { hasInt8Cache } from './graph/int8-cache.ts'
import { bytesPerToken } from './graph/kv-cache.ts'
import { createHandleMemory } from './onnxruntime/handle-table.ts'
import { ServiceProxy } from './services/service-proxy.ts'
import type { LoadedModel } from './served-model.ts'
import { loadTextFormat } from './tokenizer/load-tokenizer.ts'
import { backendStatus } from './status.ts'
import { maxSecondsHere, PromptEncoder } from './tokenizer/prompt-encoder.ts'
import { dialGateways } from './tunnel/dial-gateways.ts'
import { tokenLogin, tunnelKeyLogin, type TunnelLogin } from './tunnel/login.ts'
import { TokenMint } from './tunnel/token.ts'
import { UsageJournal } from './tunnel/usage-journal.ts'

export type Backend = {
  /** Resolves when the gateway has let the backend in for the first time. */
  readonly connected: Promise<void>
  /** Each gateway with its connections. */
  report(): readonly PeerReport[]
  /** In Prometheus' text format. */
  metrics(): string
  /** Resolves with the reason when the backend can serve no longer. */
  readonly ended: Promise<Error>
  /**
   * Finishes what runs, for up to `graceMs`, then leaves the gateways and ends the engine. Called again,
   * the shorter grace holds.
   * @throws ThreadStuck when a thread cannot be ended: then only a kill ends the process
   */
  close(graceMs?: number): Promise<Drained>
}

/** Running and waiting together; more are refused with 503. */
const maxNumRequests = 1024

/**
 * Threads of one operator. Every core, although the HTTP thread needs one too: on two cores with
 * gateway and client beside it, 16 streams of the bundled model get a third more tokens a second
 * from two threads than from one. Small models gain little from more than eight.
 */
const intraOpNumThreads = Math.min(8, availableParallelism())

/** Part of the memory that the KV cache may have unless told otherwise. */
const kvCacheShare = 1 / 4

/** Of the machine, or of the container around this process. */
const memoryBytes = (): number => {
  // 0, or more than there is, where nothing constrains it.
  const constrained = process.constrainedMemory()
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}

/** @throws ModelFolderError, ShardingError, or ConfigError for a cache that does not fit */
export const startBackend = async (config: BackendConfig, log: Log): Promise<Backend> => {
  const { gateways, proxy, tunnelConnections, weight, drainTimeoutMs } = config
  // Before the model, which takes long: a home that cannot be used is told at once.
  const journal = new UsageJournal(config.home, { log })
  const loading = loadModel(config, log).catch((error: unknown) => {
    journal.close()
    throw error
  })
  const { engine, model, promptEncoder } = await loading
  const app = createBackendApp({ engine, model, log })
  const visits = new ServiceProxy(config.services, log)
  const cut = new CutRequests()
  let closing: Promise<Drained> | undefined
  const targets = gateways.map(({ url, credential }) => ({
    url,
    login: loginOf(credential, [model.name]),
  }))
  const traffic = new TrafficTotals()
  const tunnel = dialGateways(targets, {
    proxy,
    models: [model.name],
    services: [...config.services.keys()],
    handler: cut.watch(async (request, exchange) =>
      exchange.service === undefined
        ? app.fetch(request, { exchange })
        : visits.handle(exchange.service, request, exchange),
    ),
    log,
    connections: tunnelConnections,
    status: () => backendStatus({ engine, weight, isDraining: () => closing !== undefined }),
    traffic,
    journal,
  })
  const close = async (graceMs: number): Promise<Drained> => {
    cut.stopping()
    try {
      await tunnel.close(graceMs)
      await Promise.all([engine.close(), promptEncoder.close()])
    } finally {
      visits.close()
      journal.close()
    }
    const reason = await engine.ended
    if (reason instanceof ThreadStuck) throw reason
    return { cut: cut.count }
  }
  return {
    connected: tunnel.connected,
    report: () => tunnel.report(),
    metrics: () =>
      tunnelMetrics({ side: 'backend', peers: tunnel.report(), totals: traffic.totals() }),
    ended: Promise.race([
      engine.ended,
      tunnel.ended.then((reason) => new Error(`the tunnel has ended: ${reason}`)),
    ]),
    close: (graceMs = drainTimeoutMs) => {
      if (closing) void tunnel.close(graceMs)
      return (closing ??= close(graceMs))
    },
  }
}

const loginOf = (credential: BackendCredential, models: readonly string[]): TunnelLogin =>
  credential.kind === 'tunnelKey'
    ? tunnelKeyLogin(credential.key, credential.name)
    : tokenLogin(new TokenMint({ enrolmentSecret: credential.secret, models }))

const loadModel = async (config: BackendConfig, log: Log) => {
  const { modelFolder, servedModelName } = config
  log.info('reading the model', { model: servedModelName })
  const { tokenizer, chatTemplate } = await loadTextFormat(modelFolder, maxSecondsHere)
  const { endOfSequenceTokens, samplingDefaults } = await readGenerationConfig(modelFolder)
  const { graphFolder, manifest, ropeOverride } = await openModel(config, log)
  const { vocabSize, maxPositions } = manifest
  const memory = config.engine.kvCacheMemory ?? Math.floor(memoryBytes() * kvCacheShare)
  const plan = planCache(
    { bytesPerToken: bytesPerToken(manifest, config.engine.kvCacheDtype), maxPositions },
    memory,
    config.engine,
  )
  const { maxModelLen, maxNumSeqs, numSlots, maxNumBatchedTokens } = plan
  log.info('loading the model into the engine', {
    model: servedModelName,
    maxModelLen,
    modelContext: maxPositions,
    maxNumSeqs,
    cacheSlots: numSlots,
    cacheDtype: config.engine.kvCacheDtype,
    cache: `${formatByteSize(plan.cacheBytes)} of ${formatByteSize(memory)}`,
    maxNumBatchedTokens,
  })
  if (config.engine.kvCacheDtype === 'int8' && !hasInt8Cache(graphFolder)) {
    log.info('measuring the scales of the int8 KV cache, once', { model: servedModelName })
  }
  const engine = await startEngine(log, {
    modelFolder,
    graphFolder,
    tokenizer,
    fingerprint: manifest.fingerprint,
    numSlots,
    maxNumSeqs,
    maxNumRequests,
    maxNumBatchedTokens,
    vocabSize,
    maxModelLen,
    endOfSequenceTokens,
    intraOpNumThreads,
    cacheDtype: config.engine.kvCacheDtype,
    ropeOverride,
    stepTimeoutMs: config.engine.stepTimeoutMs,
  })
  const promptEncoder = new PromptEncoder(tokenizer, modelFolder)
  const model: LoadedModel = {
    name: servedModelName,
    created: Math.floor(Date.now() / 1e3),
    maxModelLen,
    vocabSize,
    endOfSequenceTokens,
    tokenizer,
    promptEncoder,
    chatTemplate,
    samplingDefaults,
  }
  log.info('the model is ready', { model: servedModelName, context: maxModelLen })
  return { engine, model, promptEncoder }
}

/** Its threads may die: the next ones load the same folder and release what those have left. */
const startEngine = (log: Log, options: OnnxEngineOptions): Promise<RecoveringEngine> => {
  const handles = createHandleMemory()
  return RecoveringEngine.start({
    start: (signal) => OnnxEngine.start(options, { log, handles, signal }),
    log,
  })
}
