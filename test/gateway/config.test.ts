import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { parseGatewayConfig } from '../../gateway/config.ts'
import { ConfigError } from '../../shared/config-error.ts'

test('a flag beats its variable, and a variable the default', () => {
  expect(parseGatewayConfig({}, {})).toEqual({
    host: '127.0.0.1',
    port: 8080,
    home: resolve('.burrow'),
  })
  const env = { BURROW_HOST: '0.0.0.0', BURROW_PORT: '9000', BURROW_HOME: '' }
  expect(parseGatewayConfig({ port: '0', home: '/data' }, env)).toEqual({
    host: '0.0.0.0',
    port: 0,
    home: '/data',
  })
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
