import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { ClientAddresses } from '../../gateway/client-address.ts'

const request = (remoteAddress: string, forwarded?: string) =>
  ({
    socket: { remoteAddress },
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
  }) as unknown as IncomingMessage

test.each([
  ['203.0.113.7', undefined, '203.0.113.7'],
  ['203.0.113.7', '198.51.100.1', '203.0.113.7'],
  ['::ffff:203.0.113.7', undefined, '203.0.113.7'],
  ['2001:db8:1:2:3:4:5:6', undefined, '2001:db8:1:2'],
  ['2001:db8::6', undefined, '2001:db8:0:0'],
  ['2001:0DB8:0001::', undefined, '2001:db8:1:0'],
  ['fe80::1%eth0', undefined, 'fe80:0:0:0'],
  ['127.0.0.1', '198.51.100.1', null],
  ['::1', undefined, null],
  ['::ffff:127.0.0.1', undefined, null],
])('without proxies: %s, forwarded for %s, is %s', (remote, forwarded, address) => {
  expect(new ClientAddresses().of(request(remote, forwarded))).toBe(address)
})

test.each([
  ['127.0.0.1', '198.51.100.1', '198.51.100.1'],
  ['127.0.0.1', 'made up, 198.51.100.1', '198.51.100.1'],
  ['127.0.0.1', '1.1.1.1, 198.51.100.1, 10.9.9.9', '198.51.100.1'],
  ['10.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
  ['10.0.0.1', '[2001:db8::6]:4711', '2001:db8:0:0'],
  ['10.0.0.1', undefined, '10.0.0.1'],
  ['10.0.0.1', 'unknown', '10.0.0.1'],
  ['10.0.0.1', '10.0.0.2', '10.0.0.2'],
  ['127.0.0.1', undefined, null],
  ['203.0.113.7', '198.51.100.1', '203.0.113.7'],
])('behind proxies: %s, forwarded for %s, is %s', (remote, forwarded, address) => {
  const addresses = new ClientAddresses(['127.0.0.1', '10.0.0.0/8'])
  expect(addresses.of(request(remote, forwarded))).toBe(address)
})
