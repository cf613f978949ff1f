/** Several gateways at once, each with a tunnel of its own: what happens to one is nothing to the others. */
import { dial, type DialOptions, type Tunnel } from './dial.ts'
import { parseTunnelUrl } from './tunnel-url.ts'

export type GatewayTarget = Pick<DialOptions, 'url' | 'login'>

/**
 * Dials all of them as one process. Connected: with one of them; ended: with all.
 * @throws Error when an address is none of a tunnel, before anything is dialled
 */
export const dialGateways = (
  targets: readonly GatewayTarget[],
  options: Omit<DialOptions, keyof GatewayTarget>,
): Tunnel => {
  for (const { url } of targets) parseTunnelUrl(url)
  const instanceId = options.instanceId ?? crypto.randomUUID()
  const tunnels = targets.map((target) => dial({ ...options, ...target, instanceId }))
  const connected = Promise.any(tunnels.map((tunnel) => tunnel.connected)).catch(
    (error: AggregateError) => {
      throw error.errors[0]
    },
  )
  // Not everybody waits for it; `ended` says the same.
  connected.catch(() => {})
  return {
    connected,
    ended: Promise.all(tunnels.map(({ ended }) => ended)).then((ends) =>
      ends.includes('closed') ? 'closed' : 'replaced',
    ),
    get openStreams() {
      return tunnels.reduce((sum, { openStreams }) => sum + openStreams, 0)
    },
    report: () => tunnels.flatMap((tunnel) => tunnel.report()),
    async close(graceMs) {
      await Promise.all(tunnels.map((tunnel) => tunnel.close(graceMs)))
    },
  }
}
