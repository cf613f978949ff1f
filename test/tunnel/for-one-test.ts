/** Gateways, tunnels and relays that are closed when the running test is over. */
import { onTestFinished } from 'vitest'
import type { Tunnel } from '../../backend/tunnel/dial.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { dialTest, startGateway, type TestGateway } from '../support/tunnel-pair.ts'
import { startRelay, type RelayOptions } from '../support/tunnel-relay.ts'

export const gatewayFor = async (
  ...args: Parameters<typeof startGateway>
): Promise<TestGateway> => {
  const gateway = await startGateway(...args)
  onTestFinished(() => gateway.close())
  return gateway
}

export const dialFor = (options: Parameters<typeof dialTest>[0]): Tunnel => {
  const tunnel = dialTest(options)
  onTestFinished(() => tunnel.close(0))
  return tunnel
}

export const relayTo = async (gateway: TestGateway, options?: RelayOptions) => {
  const relay = await startRelay(gateway.port, options)
  onTestFinished(() => relay.close())
  return { relay, url: `ws://127.0.0.1:${relay.port}/tunnel` }
}

export const ok: TunnelHandler = async () => new Response('ok')
