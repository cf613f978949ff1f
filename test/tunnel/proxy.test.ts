import { readFileSync } from 'node:fs'
import type { LookupFunction } from 'node:net'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ProxyRoute, readProxySettings, type ProxySettings } from '../../backend/tunnel/proxy.ts'
import { startConnectProxy, type ConnectProxyOptions } from '../support/connect-proxy.ts'
import { fastTiming, memoryLog, testRequest, until } from '../support/tunnel-pair.ts'
import { dialFor, gatewayFor } from './for-one-test.ts'

const fixture = (name: string) =>
  readFileSync(join(import.meta.dirname, '../fixtures/tls', name), 'utf8')
const tls = { key: fixture('key.pem'), cert: fixture('cert.pem') }

beforeAll(() => {
  setDefaultCACertificates([...getCACertificates('default'), tls.cert])
})

const settings = (env: Record<string, string>): ProxySettings => {
  const problems: string[] = []
  const read = readProxySettings(env, problems)
  if (!read || problems.length > 0) throw new Error(problems.join())
  return read
}

const proxyFor = async (options: ConnectProxyOptions = {}) => {
  const proxy = await startConnectProxy(options)
  onTestFinished(() => proxy.close())
  return proxy
}

/** Dials `wss://HOST:PORT/tunnel` as the environment says. */
const dialBy = async (env: Record<string, string>, host = 'gateway.test') => {
  const gateway = await gatewayFor(fastTiming, { tls })
  const log = memoryLog()
  const tunnel = dialFor({
    url: `wss://${host}:${gateway.port}/tunnel`,
    handler: async () => new Response('through'),
    proxy: settings(env),
    timing: { ...fastTiming, handshakeMs: 500 },
    log,
  })
  const failure = async () => {
    await until(() => log.lines.length > 0, 'it has tried')
    return log.lines[0]
  }
  return { gateway, tunnel, log, failure, target: `${host}:${gateway.port}` }
}

describe('a backend behind a proxy', () => {
  test('reaches a gateway that only the proxy knows, and TLS ends there', async () => {
    const proxy = await proxyFor()
    const { gateway, tunnel, target } = await dialBy({
      https_proxy: `http://127.0.0.1:${proxy.port}`,
    })
    await tunnel.connected
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    expect(await new Response(exchange?.body ?? null).text()).toBe('through')
    expect([proxy.targets, proxy.authorizations]).toEqual([[target], [undefined]])
  })

  test('shows it the user and the password of its address', async () => {
    const proxy = await proxyFor({ credentials: 'me@work:pass:w/rd' })
    const { tunnel } = await dialBy({
      HTTPS_PROXY: `http://me%40work:pass%3Aw%2Frd@127.0.0.1:${proxy.port}`,
    })
    await tunnel.connected
    expect(proxy.authorizations).toHaveLength(1)
  })

  test('says when it wants a user and a password', async () => {
    const proxy = await proxyFor({ credentials: 'me:secret-word' })
    const { failure } = await dialBy({ https_proxy: `127.0.0.1:${proxy.port}` })
    expect(await failure()).toContain(
      `the gateway cannot be reached: the proxy http://127.0.0.1:${proxy.port} wants a user and ` +
        'a password (407): put them into https_proxy',
    )
  })

  test('says when they are wrong, without repeating them', async () => {
    const proxy = await proxyFor({ credentials: 'me:secret-word' })
    const { failure, log } = await dialBy({
      https_proxy: `http://me:wrong-word@127.0.0.1:${proxy.port}`,
    })
    expect(await failure()).toContain('does not accept the user and password in https_proxy (407)')
    const basic = Buffer.from('me:wrong-word').toString('base64')
    expect(log.lines.join()).not.toMatch(new RegExp(`wrong-word|${basic}`))
  })

  test('says what else the proxy does', async () => {
    const refused = /the proxy http:\S+ refused to connect to gateway.test:\d+ \(403\)/
    const timedOut = /timed out \(https_proxy is http:\S+\)/
    for (const [options, message] of [
      [{ status: 403 }, refused],
      [{ status: 0 }, timedOut],
      [{ isDark: true }, timedOut],
    ] as const) {
      const proxy = await proxyFor(options)
      const { failure, tunnel } = await dialBy({ https_proxy: `http://127.0.0.1:${proxy.port}` })
      expect(await failure()).toMatch(message)
      await tunnel.close()
      await until(() => proxy.numConnections === 0, 'no connection is left behind')
    }
  })

  test('can be stopped while it waits for the proxy', async () => {
    const proxy = await proxyFor({ isDark: true })
    const gateway = await gatewayFor(fastTiming, { tls })
    const tunnel = dialFor({
      url: `wss://gateway.test:${gateway.port}/tunnel`,
      handler: async () => new Response(),
      proxy: settings({ https_proxy: `http://127.0.0.1:${proxy.port}` }),
    })
    await until(() => proxy.targets.length > 0, 'it has asked')
    await tunnel.close()
    await until(() => proxy.numConnections === 0, 'no connection is left behind')
  })

  test('says when there is no proxy', async () => {
    const proxy = await startConnectProxy()
    await proxy.close()
    const { failure } = await dialBy({ https_proxy: `http://127.0.0.1:${proxy.port}` })
    expect(await failure()).toMatch(/: the proxy http:\S+: connect ECONNREFUSED/)
  })

  test('is told of the gateway behind it, not of the proxy, when that is away', async () => {
    const proxy = await proxyFor()
    const gateway = await gatewayFor(fastTiming, { tls })
    const log = memoryLog()
    dialFor({
      url: `wss://gateway.test:${gateway.port}/tunnel`,
      token: 'unknown',
      handler: async () => new Response(),
      proxy: settings({ https_proxy: `http://127.0.0.1:${proxy.port}` }),
      log,
    })
    await until(() => log.lines.length > 0, 'it has tried')
    expect(log.lines[0]).toContain('This gateway does not know this backend token.')
  })

  test('trusts no certificate that the proxy could make up', async () => {
    const proxy = await proxyFor()
    const { failure } = await dialBy(
      { https_proxy: `http://127.0.0.1:${proxy.port}` },
      'other.test',
    )
    expect(await failure()).toMatch(/the gateway cannot be reached: .*(altnames|certificate)/)
  })

  test('goes without it to this machine over ws://, and where no_proxy says so', async () => {
    const proxy = await proxyFor()
    const env = { https_proxy: `http://127.0.0.1:${proxy.port}` }
    for (const no_proxy of ['localhost', 'a.test, localhost b.test', '*', '.localhost']) {
      const { tunnel } = await dialBy({ ...env, no_proxy }, 'localhost')
      await tunnel.connected
    }
    const gateway = await gatewayFor()
    const plain = dialFor({
      url: gateway.url,
      handler: async () => new Response(),
      proxy: settings(env),
    })
    await plain.connected
    expect(proxy.targets).toEqual([])
    const { tunnel } = await dialBy({ ...env, NO_PROXY: 'a.test' }, 'localhost')
    await tunnel.connected
    expect(proxy.targets).toHaveLength(1)
  })
})

describe('no_proxy', () => {
  /** Whether the route goes by the proxy, as Node decides it. */
  const isProxied = async (noProxy: string, url: string): Promise<boolean> => {
    const env = { https_proxy: 'http://127.0.0.1:1', no_proxy: noProxy }
    const agent = new ProxyRoute(settings(env), new URL(url)).newAgent()
    const { hostname, port } = new URL(url)
    const host = hostname.replace(/^\[|\]$/g, '')
    // Port 1 of this machine is closed, and so is port 9 of the others: who refuses tells the way.
    const { promise, resolve } = Promise.withResolvers<Error>()
    const socket = agent.createConnection({ host, port: Number(port || 443), lookup }, (error) => {
      if (error) resolve(error)
    })
    socket?.on('error', resolve)
    const error = await promise
    socket?.destroy()
    return 'port' in error && error.port === 1
  }
  const lookup: LookupFunction = (_host, _options, found) =>
    found(null, [{ address: '127.0.0.1', family: 4 }])

  test.each([
    ['', 'wss://gw.example.com:9', true],
    ['example.com', 'wss://gw.example.com:9', false],
    ['example.com', 'wss://example.com:9', false],
    ['example.com', 'wss://badexample.com:9', true],
    ['.example.com', 'wss://gw.example.com:9', false],
    ['*.example.com', 'wss://gw.example.com:9', false],
    ['GW.Example.COM', 'wss://gw.example.com:9', false],
    ['other.com,example.com', 'wss://gw.example.com:9', false],
    ['other.com example.com', 'wss://gw.example.com:9', false],
    ['example.com:9', 'wss://gw.example.com:9', false],
    ['example.com:8', 'wss://gw.example.com:9', true],
    ['*', 'wss://gw.example.com:9', false],
    ['127.0.0.2', 'wss://127.0.0.2:9', false],
    ['127.0.0.3', 'wss://127.0.0.2:9', true],
    ['127.0.0.0/8', 'wss://127.0.0.2:9', false],
    ['10.0.0.0/8', 'wss://127.0.0.2:9', true],
    ['127.0.0.0/99', 'wss://127.0.0.2:9', true],
    ['127.0.0.1-127.0.0.9', 'wss://127.0.0.2:9', false],
    ['::1', 'wss://[::1]:9', false],
    ['[::1]:9', 'wss://[::1]:9', false],
    ['[::1]:8', 'wss://[::1]:9', true],
    ['::/0', 'wss://[::1]:9', false],
  ])('%j: %s goes by the proxy: %s', async (noProxy, url, expected) => {
    expect(await isProxied(noProxy, url)).toBe(expected)
  })
})

describe('the environment', () => {
  test.each([
    [{}, null],
    [{ http_proxy: 'http://p:1' }, null],
    [{ https_proxy: '' }, null],
    [{ https_proxy: 'http://p:3128' }, 'http://p:3128/'],
    [{ https_proxy: 'p:3128' }, 'http://p:3128/'],
    [{ https_proxy: 'https://p' }, 'https://p/'],
    [{ HTTPS_PROXY: 'http://upper:1', https_proxy: 'http://lower:1' }, 'http://lower:1/'],
    [{ ALL_PROXY: 'http://all:1' }, 'http://all:1/'],
    [{ ALL_PROXY: 'http://all:1', HTTPS_PROXY: 'http://p:1' }, 'http://p:1/'],
  ])('%j names the proxy %s', (env, url) => {
    const problems: string[] = []
    expect(readProxySettings({ ...env }, problems)?.url.href ?? null).toBe(url)
    expect(problems).toEqual([])
  })

  test.each([
    'socks5://me:secret@p:1080',
    'http://me:secret%ZZ@p:1',
    'http://me:secret@',
    'http://me:sec ret@p:70000',
  ])('%j is no proxy, which is told without its password', (https_proxy) => {
    const problems: string[] = []
    expect(readProxySettings({ https_proxy }, problems)).toBeNull()
    expect(problems).toEqual([
      'https_proxy must be http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, ' +
        'with special characters of user and password as %XX',
    ])
  })
})
