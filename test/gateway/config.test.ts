import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { TunnelKey } from '../../shared/auth/tunnel-key.ts'
import { parseGatewayConfig } from '../../gateway/config.ts'
import { ConfigError } from '../../shared/config-error.ts'

test('a flag beats its variable, and a variable the default', () => {
  expect(parseGatewayConfig({}, {})).toEqual({
    host: '127.0.0.1',
    port: 8080,
    home: resolve('.burrow'),
    drainTimeoutMs: 30_000,
    tunnelKeys: [],
    trustedProxies: [],
    services: { domain: null, ports: new Map() },
  })
  const env = { BURROW_HOST: '0.0.0.0', BURROW_PORT: '9000', BURROW_HOME: '' }
  expect(parseGatewayConfig({ port: '0', home: '/data' }, env)).toEqual({
    host: '0.0.0.0',
    port: 0,
    home: '/data',
    drainTimeoutMs: 30_000,
    tunnelKeys: [],
    trustedProxies: [],
    services: { domain: null, ports: new Map() },
  })
})

const key = 'the-first-key-of-32-characters-00'
const otherKey = 'the-other-key-of-32-characters-00'

test('the gateway may hold a tunnel key, or the new and the old one, and shows none', async () => {
  const parse = (BURROW_TUNNEL_KEY: string) => parseGatewayConfig({}, { BURROW_TUNNEL_KEY })
  const { tunnelKeys = [] } = parse(`${key}, ${otherKey}`)
  const input = { nonce: new Uint8Array(32), backendName: 'box', instanceId: '1' }
  const proof = await TunnelKey.parse(otherKey)?.prove(input)

  expect(await Promise.all(tunnelKeys.map((k) => k.isProof(proof ?? '', input)))).toEqual([
    false,
    true,
  ])
  expect(JSON.stringify(tunnelKeys)).toBe('["[redacted]","[redacted]"]')
  expect(() => parse(`${key},short`)).toThrow(/^BURROW_TUNNEL_KEY must have at least 32 visible/)
  expect(() => parse(`${key},short`)).not.toThrow(key)
  expect(() => parse(`${key},${otherKey},${key}`)).toThrow('2 keys at most')
})

test('proxies in front are addresses or ranges', () => {
  const parse = (list: string) => parseGatewayConfig({ 'trusted-proxy': list }, {}).trustedProxies
  expect(parse('127.0.0.1 10.0.0.0/8 fd00::/8')).toEqual(['127.0.0.1', '10.0.0.0/8', 'fd00::/8'])
  for (const bad of ['proxy.example', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '/8']) {
    expect(() => parse(`127.0.0.1 ${bad}`)).toThrow(`--trusted-proxy: "${bad}" is no address`)
  }
})

test('all problems are told together, each with where it came from', () => {
  const parse = () =>
    parseGatewayConfig({ port: '99999', home: `/${'long/'.repeat(30)}` }, { BURROW_HOST: 'a b' })

  expect(parse).toThrow(ConfigError)
  expect(parse).toThrow(
    [
      'BURROW_HOST must be an address such as 127.0.0.1, not "a b"',
      '--port must be a number from 0 to 65535, not "99999"',
      `--home: the control socket's path /${'long/'.repeat(30)}control.sock has 163 bytes, ` +
        'and the system allows 103: choose a home with a shorter path',
    ].join('; '),
  )
  for (const port of ['', '-1', '80x', '1e3', ' 80', '65536']) {
    expect(() => parseGatewayConfig({ port }, {})).toThrow('--port must be a number')
  }
})
