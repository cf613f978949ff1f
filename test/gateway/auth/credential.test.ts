import { createSecretKey } from 'node:crypto'
import { format, inspect } from 'node:util'
import { expect, test } from 'vitest'
import { Credential } from '../../../gateway/auth/credential.ts'

const pepper = { version: '1', key: createSecretKey(new Uint8Array(32)) }

test('a credential reads back from its own text, and only as its own kind', () => {
  const key = Credential.generate('apiKey')
  const text = key.reveal()

  expect(text).toMatch(/^brw_[0-9A-Za-z]{36}$/)
  expect(Credential.parse('apiKey', text)?.reveal()).toBe(text)
  expect(Credential.parse('enrolmentSecret', text)).toBeNull()
  expect(Credential.generate('enrolmentSecret').reveal()).toMatch(/^brt_[0-9A-Za-z]{36}$/)
  expect(key.hint).toBe(text.slice(-4))
})

test('any single wrong character is found without a database', () => {
  const text = Credential.generate('apiKey').reveal()
  const survivors = Array.from(text, (character, i) => {
    const wrong = character === 'x' ? 'y' : 'x'
    return text.slice(0, i) + wrong + text.slice(i + 1)
  }).filter((wrong) => Credential.parse('apiKey', wrong))

  expect(survivors).toEqual([])
  for (const wrong of ['', 'brw_', `${text} `, text.slice(1), text.replace('brw_', 'sk-_')]) {
    expect(Credential.parse('apiKey', wrong)).toBeNull()
  }
})

test('a credential shows as [redacted] wherever it is printed', () => {
  const key = Credential.generate('apiKey')
  const prints = [
    String(key),
    `${key}`,
    JSON.stringify({ key }),
    inspect(key),
    inspect({ deep: [key] }, { showHidden: true, depth: 9 }),
    format('%s %o %j', key, key, key),
  ].join('\n')

  expect(prints).toContain('[redacted]')
  expect(prints).not.toContain(key.reveal().slice(4, 12))
})

test('checksum and digest are CRC-32 and HMAC-SHA-256 (figures from Python)', () => {
  const key = Credential.parse('apiKey', 'brw_abcdefghijklmnopqrstuvwxyz01230E1bur')

  expect(key?.digest(pepper)).toBe(
    '302119bf6fe51b2656a8aca63357c1132024d60f498f6b6f69bafd279c87f886',
  )
})

test('credentials do not repeat and use the whole alphabet', () => {
  const texts = Array.from({ length: 500 }, () => Credential.generate('apiKey').reveal())

  expect(new Set(texts).size).toBe(500)
  expect(new Set(texts.join('').replaceAll('brw_', '')).size).toBe(62)
})
