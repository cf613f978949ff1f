import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { parseTunnelUrl } from '../../backend/tunnel/tunnel-url.ts'
import { dialTest, memoryLog, startGateway, testRequest, until } from '../support/tunnel-pair.ts'
import { dialFor, gatewayFor, ok, relayTo } from './for-one-test.ts'

describe('the address of a tunnel', () => {
  it('may be wss anywhere, and ws on this machine', () => {
    for (const url of [
      'wss://gateway.example/tunnel',
      'ws://127.0.0.1:8080/tunnel',
      'ws://localhost/tunnel',
      'ws://[::1]:8080/tunnel',
    ]) {
      expect(parseTunnelUrl(url).href).toBe(url)
    }
  })

  it.each([
    ['ws://gateway.example/tunnel', 'Use wss:// for gateway.example'],
    ['ws://127.0.0.1.example/tunnel', 'Use wss:// for 127.0.0.1.example'],
    ['ws://192.168.1.2/tunnel', 'Use wss:// for 192.168.1.2'],
    ['https://gateway.example', 'must begin with wss://'],
    ['gateway', 'must begin with wss://'],
  ])('may not be %s', (url, message) => {
    expect(() => dialTest({ url, handler: ok })).toThrow(message)
  })
})

describe('a backend that dials', () => {
  it('says what is wrong with its token, and does not tell the token', async () => {
    const gateway = await gatewayFor()
    const log = memoryLog()
    dialFor({ url: gateway.url, token: 'secret', handler: ok, log })
    await until(() => log.lines.length > 0, 'it has tried')
    expect(log.lines[0]).toContain(
      'the gateway does not let this backend in: This gateway does not know this backend token.',
    )
    expect(log.lines[0]).toContain('retryInMs=60000')
    expect(log.lines.join()).not.toContain('secret')
  })

  it('connects when the gateway appears', async () => {
    const gateway = await startGateway()
    const { port, url } = gateway
    await gateway.close()
    const log = memoryLog()
    const tunnel = dialFor({ url, handler: ok, log, random: () => 0.1 })
    await until(() => log.lines.length > 0, 'it has tried')
    expect(log.lines[0]).toContain('the gateway cannot be reached')
    const again = await gatewayFor(undefined, {}, port)
    await tunnel.connected
    expect(again.registry.models()).toEqual(['tiny'])
  })

  it('comes back after each of five cuts, and serves', async () => {
    const gateway = await gatewayFor()
    const { relay, url } = await relayTo(gateway)
    const log = memoryLog()
    await dialFor({ url, handler: ok, log }).connected
    for (let i = 1; i <= 5; i++) {
      relay.cut()
      await until(() => gateway.registry.backends().length === 0, 'the gateway knows')
      await until(() => gateway.registry.backends().length === 1, 'it is back')
      const exchange = gateway.registry.pick('tiny')?.open(testRequest())
      expect(await new Response(exchange?.body ?? null).text()).toBe('ok')
    }
    expect(relay.numConnections).toBe(6)
    expect(log.lines.filter((line) => line.includes('tunnel connected'))).toHaveLength(6)
    expect(log.lines.filter((line) => line.includes('tunnel down'))).toHaveLength(5)
  })

  it('gives way to another process with the same token, and does not fight', async () => {
    const gateway = await gatewayFor()
    const first = dialFor({ url: gateway.url, handler: async () => new Response('first') })
    await first.connected
    const running = gateway.registry.pick('tiny')
    const second = dialFor({ url: gateway.url, handler: async () => new Response('second') })
    await second.connected
    expect(await first.ended).toBe('replaced')
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    expect(await new Response(exchange?.body ?? null).text()).toBe('second')
    await expect(running?.open(testRequest()).head).rejects.toMatchObject({ mayHaveRun: false })
    expect(gateway.registry.backends()).toHaveLength(1)
  })

  it('waits a minute after its token was revoked', async () => {
    const gateway = await gatewayFor()
    const log = memoryLog()
    await dialFor({ url: gateway.url, handler: ok, log }).connected
    gateway.registry.disconnect('a', 'revoked by the operator')
    await until(() => log.lines.length === 2, 'it knows')
    expect(log.lines[1]).toContain('does not let this backend in: revoked by the operator')
    expect(log.lines[1]).toContain('retryInMs=60000')
    expect(gateway.registry.disconnect('a', 'again')).toBe(false)
  })

  it('finishes what runs when it is closed, and stays away', async () => {
    const gateway = await gatewayFor()
    const tunnel = dialFor({
      url: gateway.url,
      handler: async () => {
        await sleep(30)
        return new Response('finished')
      },
    })
    await tunnel.connected
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    await sleep(10)
    await Promise.all([tunnel.close(), tunnel.close()])
    expect(await new Response(exchange?.body ?? null).text()).toBe('finished')
    expect(await exchange?.settled).toMatchObject({ outcome: 'completed' })
    expect(await tunnel.ended).toBe('closed')
    await until(() => gateway.registry.backends().length === 0, 'the gateway knows')
  })

  it('can be closed while it waits to dial again', async () => {
    const tunnel = dialFor({ url: 'ws://127.0.0.1:1/tunnel', handler: ok, random: () => 0.99 })
    await sleep(20)
    await tunnel.close()
    await expect(tunnel.connected).rejects.toThrow('the tunnel was closed')
  })
})
