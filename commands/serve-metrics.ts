import { log } from './command-log.ts'
import type { ScrapeListener } from './scrape-listener.ts'

/** On the port that was asked for; what runs goes on serving it until it has drained. */
export const serveMetrics = async (
  port: number | undefined,
  metrics: () => string,
): Promise<ScrapeListener | null> => {
  if (port === undefined) return null
  const { listenForScrapes } = await import('./scrape-listener.ts')
  const listener = await listenForScrapes(port, metrics)
  log.info('serving metrics', { url: listener.url })
  return listener
}
