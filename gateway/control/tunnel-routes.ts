/** The part of the control API that tells how the tunnel is. */
import type { Hono } from 'hono'
import { prometheusType } from '../../shared/prometheus.ts'
import type { PeerReport } from '../../shared/tunnel/connection-report.ts'

export type TunnelNews = {
  /** Who is connected now. */
  report(): readonly PeerReport[]
  /** In Prometheus' text format. */
  metrics(): string
}

export const addTunnelRoutes = (app: Hono, news: TunnelNews): void => {
  app.get('/tunnel', (c) => c.json({ backends: news.report() }))
  app.get('/metrics', (c) => c.body(news.metrics(), 200, { 'content-type': prometheusType }))
}
