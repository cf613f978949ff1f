import { createSecretKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { openTicket, sealTicket } from '../../../gateway/usage/ticket.ts'

const pepper = { version: 'p', key: createSecretKey(new Uint8Array(32).fill(7)) }
const other = { version: 'q', key: createSecretKey(new Uint8Array(32).fill(8)) }
const request = {
  requestId: 'req_1',
  keyId: 'key_1',
  backendId: 'be_1',
  model: '虎-7b',
  route: '/v1/completions',
  stream: true,
  startedAt: 1_764_000_000_000,
}

test('a ticket brings back what was sealed, and travels without quoting', () => {
  const ticket = sealTicket(pepper, request) ?? ''

  expect(openTicket(pepper, ticket)).toEqual(request)
  expect(ticket).toMatch(/^[\w.-]+$/)
})

test('a ticket of another gateway, or one that was changed, opens nothing', () => {
  const ticket = sealTicket(pepper, request) ?? ''
  const [body = '', mac = ''] = ticket.split('.')
  const forged = Buffer.from(JSON.stringify(['req_1', 'key_2'])).toString('base64url')

  expect(openTicket(other, ticket)).toBe(null)
  for (const bad of ['', '.', body, `${body}.`, `.${mac}`, `${forged}.${mac}`, `${body}.${body}`]) {
    expect(openTicket(pepper, bad)).toBe(null)
  }
})

test('names that no ticket can hold get none', () => {
  expect(sealTicket(pepper, { ...request, model: 'x'.repeat(1000) })).toBe(undefined)
})
