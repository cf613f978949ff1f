import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { dialGateways } from '../../backend/tunnel/dial-gateways.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import {
  fixedLogin,
  memoryLog,
  testRequest,
  until,
  type TestGateway,
} from '../support/tunnel-pair.ts'
import { dialFor, gatewayFor, ok } from './for-one-test.ts'

/** Passes connections on, and can destroy each by itself. */
const relayOfSingles = async (targetPort: number) => {
  const connections: Socket[] = []
  const server = createServer((inner) => {
    const outer = connect(targetPort, '127.0.0.1')
    connections.push(inner)
    inner.pipe(outer).pipe(inner)
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      from.on('error', () => {})
      from.on('close', () => to.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of connections) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `ws://127.0.0.1:${port}/tunnel`, connections }
}

/** Streams that say `a` at once and end when they are told to. */
const streams = () => {
  const ends: (() => void)[] = []
  const handler: TunnelHandler = async () => {
    let isCancelled = false
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('a'))
        ends.push(() => {
          if (isCancelled) return
          controller.enqueue(new TextEncoder().encode('b'))
          controller.close()
        })
      },
      cancel() {
        isCancelled = true
      },
    })
    return new Response(body)
  }
  return { handler, ends }
}

const textOf = (body: ReadableStream<Uint8Array> | undefined) => new Response(body ?? null).text()

const held = ({ registry }: TestGateway) => registry.backends()[0]?.connections ?? []

const indexes = (gateway: TestGateway) => held(gateway).map(({ hello }) => hello.connectionIndex)

describe('a backend with several connections', () => {
  it('dials the first alone, and the others once it is in', async () => {
    const gateway = await gatewayFor()
    const tunnel = dialFor({ url: gateway.url, handler: ok, connections: 3, spacingMs: 50 })
    await tunnel.connected
    expect(indexes(gateway)).toEqual([0])
    await until(() => held(gateway).length === 3, 'all are there')
    expect(indexes(gateway)).toEqual([0, 1, 2])
    expect(gateway.registry.backends()).toHaveLength(1)
  })

  it('dials no others as long as the gateway does not let the first in', async () => {
    const gateway = await gatewayFor()
    const log = memoryLog()
    const options = { url: gateway.url, handler: ok, log, connections: 4, spacingMs: 1 }
    dialFor({ ...options, token: 'wrong' })
    await until(() => log.lines.length > 0, 'it has tried')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(log.lines).toHaveLength(1)
  })

  it('loses the streams of the one that is cut, and only those', async () => {
    const gateway = await gatewayFor()
    const relay = await relayOfSingles(gateway.port)
    const { handler, ends } = streams()
    dialFor({ url: relay.url, handler, connections: 2, spacingMs: 1 })
    await until(() => held(gateway).length === 2, 'both are there')
    const exchanges = Array.from({ length: 4 }, () =>
      gateway.registry.pick('tiny')?.open(testRequest()),
    )
    for (const exchange of exchanges) await exchange?.head
    expect(held(gateway).map(({ openStreams }) => openStreams)).toEqual([2, 2])
    const lost = held(gateway)[0]
    relay.connections[0]?.destroy()
    await until(() => held(gateway)[0] !== lost, 'the gateway knows')
    for (const end of ends) end()
    const texts = await Promise.allSettled(exchanges.map((exchange) => textOf(exchange?.body)))
    // They took turns.
    expect(texts.map(({ status }) => status)).toEqual([
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ])
    expect(await exchanges[0]?.settled).toMatchObject({ errorCode: 'CONNECTION_LOST' })
    await until(() => indexes(gateway).length === 2, 'it is back')
    expect(indexes(gateway).toSorted()).toEqual([0, 1])
  })

  it('gives way with all of them to another process, and does not fight', async () => {
    const gateway = await gatewayFor()
    const first = dialFor({ url: gateway.url, handler: ok, connections: 3, spacingMs: 1 })
    await until(() => held(gateway).length === 3, 'all are there')
    const second = dialFor({ url: gateway.url, handler: ok, connections: 2, spacingMs: 1 })
    expect(await first.ended).toBe('replaced')
    await until(() => held(gateway).length === 2, 'the second has come')
    await second.connected
    expect(new Set(held(gateway).map(({ hello }) => hello.instanceId)).size).toBe(1)
  })

  it('waits a minute with each of them after its token was revoked', async () => {
    const gateway = await gatewayFor()
    const log = memoryLog()
    dialFor({ url: gateway.url, handler: ok, log, connections: 2, spacingMs: 1 })
    await until(() => held(gateway).length === 2, 'both are there')
    gateway.registry.disconnect('a', 'revoked by the operator')
    const down = () => log.lines.filter((line) => line.includes('tunnel down'))
    await until(() => down().length === 2, 'it knows')
    for (const line of down()) expect(line).toContain('retryInMs=60000')
  })

  it('finishes what runs on all of them when it is closed', async () => {
    const gateway = await gatewayFor()
    const { handler, ends } = streams()
    const tunnel = dialFor({ url: gateway.url, handler, connections: 2, spacingMs: 1 })
    await until(() => held(gateway).length === 2, 'both are there')
    const exchanges = [0, 1].map(() => gateway.registry.pick('tiny')?.open(testRequest()))
    for (const exchange of exchanges) await exchange?.head
    expect(tunnel.openStreams).toBe(2)
    const closed = tunnel.close()
    await until(() => gateway.registry.backends()[0]?.isDraining === true, 'the gateway knows')
    expect(gateway.registry.pick('tiny')).toBeNull()
    for (const end of ends) end()
    expect(await Promise.all(exchanges.map((exchange) => textOf(exchange?.body)))).toEqual([
      'ab',
      'ab',
    ])
    await closed
    expect([await tunnel.ended, tunnel.openStreams]).toEqual(['closed', 0])
  })
})

describe('a gateway that wants its connections replaced', () => {
  const goaway = { code: 'DRAINING', deadlineMs: 60_000, message: 'please dial again' } as const

  it('has the new ones before the old ones end, and no stream is lost', async () => {
    const gateway = await gatewayFor()
    const { handler, ends } = streams()
    const log = memoryLog()
    dialFor({ url: gateway.url, handler, log, connections: 2, spacingMs: 1 })
    await until(() => held(gateway).length === 2, 'both are there')
    const old = held(gateway)
    const exchanges = [0, 1].map(() => gateway.registry.pick('tiny')?.open(testRequest()))
    for (const exchange of exchanges) await exchange?.head

    gateway.registry.goaway(goaway)
    await until(() => gateway.registry.pick('tiny') !== null, 'a new one is there')
    await until(() => held(gateway).length === 4, 'both are')
    expect(old.map(({ openStreams }) => openStreams)).toEqual([1, 1])
    const late = gateway.registry.pick('tiny')?.open(testRequest())
    await late?.head
    for (const end of ends) end()
    const texts = [...exchanges, late].map((exchange) => textOf(exchange?.body))
    expect(await Promise.all(texts)).toEqual(['ab', 'ab', 'ab'])
    for (const { session } of old) expect((await session.closed).code).not.toBe(1006)
    await until(() => held(gateway).length === 2, 'the old ones have gone')
    expect(indexes(gateway).toSorted()).toEqual([0, 1])
    // Nothing was down in between.
    expect(log.lines.filter((line) => line.includes('tunnel down'))).toEqual([])
  })

  it('may ask again and again', async () => {
    const gateway = await gatewayFor()
    const { handler, ends } = streams()
    dialFor({ url: gateway.url, handler })
    const exchanges = []
    for (let i = 0; i < 4; i++) {
      await until(() => gateway.registry.pick('tiny') !== null, 'one is there')
      const exchange = gateway.registry.pick('tiny')?.open(testRequest())
      await exchange?.head
      exchanges.push(exchange)
      gateway.registry.goaway(goaway)
    }
    await until(() => gateway.registry.pick('tiny') !== null, 'the last is there')
    for (const end of ends) end()
    expect(await Promise.all(exchanges.map((exchange) => textOf(exchange?.body)))).toEqual(
      exchanges.map(() => 'ab'),
    )
    await until(() => held(gateway).length === 1, 'only the last is left')
  })

  it('may itself be gone when the next is dialled: what runs still finishes', async () => {
    const gateway = await gatewayFor()
    const relay = await relayOfSingles(gateway.port)
    const { handler, ends } = streams()
    const log = memoryLog()
    const tunnel = dialFor({ url: relay.url, handler, log })
    await tunnel.connected
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    await exchange?.head
    gateway.registry.goaway(goaway)
    await until(() => relay.connections.length === 2, 'it dials again')
    relay.connections[1]?.destroy()
    await until(() => log.lines.some((line) => line.includes('tunnel down')), 'in vain')
    ends[0]?.()
    expect(await textOf(exchange?.body)).toBe('ab')
  })
})

describe('a backend with several gateways', () => {
  const both = async (log = memoryLog()) => {
    const [one, two] = [await gatewayFor(), await gatewayFor()]
    const targets = [one, two].map(({ url }, i) => ({ url, login: fixedLogin(`token-box${i}`) }))
    const tunnel = dialGateways(targets, { models: ['tiny'], handler: ok, log, random: () => 0 })
    onTestFinished(() => tunnel.close(0))
    await until(() => one.registry.serves('tiny') && two.registry.serves('tiny'), 'both have it')
    return { one, two, tunnel, log }
  }

  const answerOf = ({ registry }: TestGateway) =>
    textOf(registry.pick('tiny')?.open(testRequest()).body)

  it('serves each of them under its own name, as one process', async () => {
    const { one, two, tunnel } = await both()
    await tunnel.connected
    expect([await answerOf(one), await answerOf(two)]).toEqual(['ok', 'ok'])
    const [a, b] = [one, two].map(({ registry }) => registry.backends()[0])
    expect([a?.name, b?.name]).toEqual(['box0', 'box1'])
    expect(held(one)[0]?.hello.instanceId).toBe(held(two)[0]?.hello.instanceId)
  })

  it('goes on with one when the other is gone, or has thrown it out', async () => {
    const { one, two, tunnel, log } = await both()
    dialFor({ url: one.url, token: 'token-box0', handler: ok })
    await until(() => log.lines.some((line) => line.includes('tunnel ended')), 'it knows')
    expect(await answerOf(two)).toBe('ok')
    expect(log.lines.find((line) => line.includes('tunnel ended'))).toContain(`:${one.port}`)
    await tunnel.close()
    expect(await tunnel.ended).toBe('closed')
    await until(() => !two.registry.serves('tiny'), 'the gateway knows')
  })

  it('has ended when all of them have another in its place', async () => {
    const { one, two, tunnel } = await both()
    dialFor({ url: one.url, token: 'token-box0', handler: ok })
    dialFor({ url: two.url, token: 'token-box1', handler: ok })
    expect(await tunnel.ended).toBe('replaced')
  })

  it('dials none of them when one address is wrong', async () => {
    const gateway = await gatewayFor()
    const targets = [gateway.url, 'ws://gateway.example/tunnel'].map((url) => ({
      url,
      login: fixedLogin('token-a'),
    }))
    const options = { models: ['tiny'], handler: ok, log: memoryLog() }
    expect(() => dialGateways(targets, options)).toThrow('Use wss:// for gateway.example')
    expect(gateway.registry.backends()).toEqual([])
  })
})
