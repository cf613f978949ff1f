/** `burrow gateway`. */
import { stopSignals } from '../gateway/stop-signals.ts'
import type { FlagValues } from '../shared/flags.ts'
import { log } from './command-log.ts'
import { drain, tunnelUrl } from './running-gateway.ts'
import type { ScrapeListener } from './scrape-listener.ts'
import { serveMetrics } from './serve-metrics.ts'

export const runGateway = async (flags: FlagValues): Promise<void> => {
  const { parseGatewayConfig } = await import('../gateway/config.ts')
  const { startGateway } = await import('../gateway/node.ts')
  const { stop, hurry } = stopSignals(log)
  const config = parseGatewayConfig(flags, process.env)
  const gateway = await startGateway(config, { log })
  let scrapes: ScrapeListener | null = null
  try {
    scrapes = await serveMetrics(config.metricsPort, gateway.metrics)
    process.stdout.write(`Burrow's gateway is up: ${gateway.url}, tunnel ${tunnelUrl(gateway)}\n`)
    await Promise.race([stop, gateway.drainRequested])
  } finally {
    await drain(gateway, hurry)
    await scrapes?.close()
  }
}
