/** `burrow backend`. */
import { stopSignals } from '../gateway/stop-signals.ts'
import type { FlagValues } from '../shared/flags.ts'
import { log } from './command-log.ts'
import { parentStop, tellParent } from './parent.ts'
import type { ScrapeListener } from './scrape-listener.ts'
import { serveMetrics } from './serve-metrics.ts'

/** Under `burrow up` there is an IPC channel to the parent, which says when to stop. */
export const runBackend = async (flags: FlagValues): Promise<void> => {
  const { parseBackendConfig } = await import('../backend/config.ts')
  const { listenControl } = await import('../backend/control/listen.ts')
  const { startBackend } = await import('../backend/main.ts')
  const { stop, hurry } = process.connected ? parentStop() : stopSignals(log)
  const config = parseBackendConfig(flags, process.env)
  // Exiting waits for threads, and one that is stuck in native code would never come.
  let lastResort: NodeJS.Timeout | undefined
  void hurry.then(() => {
    process.exitCode = 130
    lastResort = setTimeout(() => process.kill(process.pid, 'SIGKILL'), hurryMs)
  })
  const backend = await Promise.race([startBackend(config, log), stop])
  // A model that is still loading has nothing to finish.
  if (!backend) return process.exit(0)
  void backend.connected.then(() => tellParent({ type: 'ready' })).catch(() => {})
  const asked = Promise.withResolvers<void>()
  const drain = (timeoutMs: number) => {
    log.info('asked to drain: running requests may finish')
    asked.resolve()
    return backend.close(timeoutMs)
  }
  // A child leaves when its parent says so.
  const { home } = config
  const isChild = process.connected
  const { report, metrics } = backend
  const { pid } = process
  const listener = isChild ? null : await listenControl({ home, pid, log, drain, report, metrics })
  let scrapes: ScrapeListener | null = null
  try {
    scrapes = await serveMetrics(config.metricsPort, metrics)
    // What runs is cut, with its count.
    void hurry.then(() => backend.close(0)).catch(() => {})
    const failure = await Promise.race([stop, asked.promise, backend.ended])
    if (failure) throw failure
  } finally {
    await backend.close()
    await listener?.close()
    await scrapes?.close()
    clearTimeout(lastResort)
  }
}

/** How long a hurried backend may take to tell what it has counted. */
const hurryMs = 5_000
