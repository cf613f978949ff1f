/** `burrow up`. */
import { fileURLToPath } from 'node:url'
import { announcement } from '../gateway/announcement.ts'
import { LocalBackend } from '../gateway/local-backend.ts'
import { stopSignals } from '../gateway/stop-signals.ts'
import type { FlagValues } from '../shared/flags.ts'
import { pickFlags } from './command-flags.ts'
import { log } from './command-log.ts'
import { drain, tunnelUrl } from './running-gateway.ts'
import type { ScrapeListener } from './scrape-listener.ts'
import { serveMetrics } from './serve-metrics.ts'

const burrowJs = fileURLToPath(new URL('../burrow.js', import.meta.url))

/** Gateway and backend child, joined by the tunnel over a real socket. */
export const up = async (flags: FlagValues): Promise<void> => {
  const { parseModelConfig } = await import('../backend/config.ts')
  const { parseGatewayConfig } = await import('../gateway/config.ts')
  const { startGateway } = await import('../gateway/node.ts')
  const { stop, hurry } = stopSignals(log)
  const gatewayConfig = parseGatewayConfig(flags, process.env)
  const { servedModelName } = parseModelConfig(flags, process.env)
  const gateway = await startGateway(gatewayConfig, { log })
  const { token } = await gateway.admin.renewEnrolment('local')
  const backend = new LocalBackend({
    command: [process.execPath, burrowJs, 'backend'],
    // On one machine no connection is worth a second one.
    flags: {
      // The port is the gateway's.
      ...pickFlags({ ...flags, 'metrics-port': undefined }, 'backend'),
      gateway: tunnelUrl(gateway),
      'tunnel-connections': '1',
    },
    // It needs no other secret of ours.
    env: { BURROW_TOKEN: token.reveal(), BURROW_TUNNEL_KEY: '', BURROW_METRICS_PORT: '' },
    log,
  })
  void hurry.then(() => backend.hurry())
  const stopped = Promise.race([stop, gateway.drainRequested])
  let scrapes: ScrapeListener | null = null
  try {
    scrapes = await serveMetrics(gatewayConfig.metricsPort, gateway.metrics)
    const isEarly = await Promise.race([backend.ready.then(() => false), stopped.then(() => true)])
    if (!isEarly) {
      const key = await gateway.admin.ensureFirstKey()
      process.stdout.write(announcement(gateway.url, servedModelName, key?.reveal() ?? null))
      await stopped
    }
  } finally {
    await drain(gateway, hurry)
    await backend.close()
    await scrapes?.close()
  }
}
