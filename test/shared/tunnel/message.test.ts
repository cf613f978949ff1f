import { describe, expect, it } from 'vitest'
import {
  encodeHello,
  encodeWelcome,
  parseHello,
  parseWelcome,
} from '../../../shared/tunnel/hello.ts'
import {
  encodeEnd,
  encodeHead,
  encodeOpen,
  parseEnd,
  parseHead,
  parseOpen,
  parseReset,
  resetFrame,
} from '../../../shared/tunnel/message.ts'

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))

const hello = {
  instanceId: 'i',
  generation: 1,
  connectionIndex: 3,
  models: ['tiny'],
  services: ['notebook'],
  capabilities: ['later'],
  maxStreams: 8,
  windowBytes: 65_536,
  connectionWindowBytes: 1_048_576,
}
const welcome = {
  sessionId: 's',
  maxStreams: 8,
  windowBytes: 65_536,
  connectionWindowBytes: 1_048_576,
}
const open = {
  requestId: 'r',
  method: 'POST',
  path: '/v1/chat/completions?x=ä',
  headers: [['content-type', 'application/json']],
  hasBody: true,
}

describe('payloads', () => {
  it('read back as they were written', () => {
    const request = { ...open, headers: new Headers({ a: 'b', 'x-c': 'd, e' }) }
    const answer = new Headers([
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
    ])
    const end = {
      usage: { promptTokens: 3, completionTokens: 0 },
      error: { code: 'CANCEL' as const, message: 'gone' },
    }
    expect(parseHello(encodeHello(hello))).toEqual(hello)
    expect(parseWelcome(encodeWelcome(welcome))).toEqual(welcome)
    expect(parseOpen(encodeOpen(request))).toEqual(request)
    expect(parseHead(encodeHead({ status: 200, headers: answer }))).toEqual({
      status: 200,
      headers: answer,
    })
    expect(parseEnd(encodeEnd(end))).toEqual(end)
    expect(parseEnd(encodeEnd({}))).toEqual({})
    expect(encodeEnd({}).byteLength).toBe(0)
  })

  it('ignore fields that they do not know', () => {
    expect(parseHello(bytes({ ...hello, later: 1 }))).toEqual(hello)
  })

  it.each([
    ['HELLO', () => parseHello(Uint8Array.of(0xff, 0xfe))],
    ['HELLO', () => parseHello(bytes([]))],
    ['HELLO.instanceId', () => parseHello(bytes({ ...hello, instanceId: '' }))],
    ['HELLO.generation', () => parseHello(bytes({ ...hello, generation: 0 }))],
    ['HELLO.generation', () => parseHello(bytes({ ...hello, generation: '1' }))],
    ['HELLO.models', () => parseHello(bytes({ ...hello, models: 'tiny' }))],
    ['HELLO.models', () => parseHello(bytes({ ...hello, models: Array(257).fill('m') }))],
    ['HELLO.maxStreams', () => parseHello(bytes({ ...hello, maxStreams: 0 }))],
    ['HELLO.windowBytes', () => parseHello(bytes({ ...hello, windowBytes: 1 }))],
    ['WELCOME.maxStreams', () => parseWelcome(bytes({ ...welcome, maxStreams: 257 }))],
    ['WELCOME.windowBytes', () => parseWelcome(bytes({ ...welcome, windowBytes: 2 ** 30 }))],
    ['OPEN.method', () => parseOpen(bytes({ ...open, method: 'CONNECT' }))],
    ['OPEN.path', () => parseOpen(bytes({ ...open, path: 'v1' }))],
    ['OPEN.path', () => parseOpen(bytes({ ...open, path: `/${'x'.repeat(4096)}` }))],
    ['OPEN.headers', () => parseOpen(bytes({ ...open, headers: [['a b', 'c']] }))],
    ['OPEN.headers', () => parseOpen(bytes({ ...open, headers: [['a', 'b\r\nc: d']] }))],
    [
      'OPEN.headers',
      () => parseOpen(bytes({ ...open, headers: Array.from({ length: 129 }, () => ['a', 'b']) })),
    ],
    ['OPEN.hasBody', () => parseOpen(bytes({ ...open, method: 'GET' }))],
    ['HEAD.status', () => parseHead(bytes({ status: 102, headers: [] }))],
    ['END.usage', () => parseEnd(bytes({ usage: { promptTokens: -1, completionTokens: 0 } }))],
    ['END.usage', () => parseEnd(bytes({ usage: { promptTokens: 1.5, completionTokens: 0 } }))],
    ['END.error', () => parseEnd(bytes({ error: 'broken' }))],
  ])('refuse a malformed %s', (what, parse) => {
    expect(parse).toThrow(
      expect.objectContaining({ code: 'PROTOCOL_ERROR', message: `${what} is malformed` }),
    )
  })

  it('check what is written by the rules of the reader', () => {
    const headers = new Headers({ big: 'x'.repeat(40_000) })
    expect(() => encodeOpen({ ...open, headers })).toThrow("the request's head is over 32768 bytes")
    expect(() => encodeHead({ status: 200, headers })).toThrow(
      "the response's head is over 32768 bytes",
    )
    expect(() => encodeOpen({ ...open, headers: new Headers(), method: 'GET' })).toThrow(
      'OPEN.hasBody is malformed',
    )
  })

  it('cut a RESET text at a character, and read unknown codes as INTERNAL', () => {
    const { payload } = resetFrame(1, { code: 'CANCEL', message: 'ä'.repeat(200) })
    expect(parseReset(payload)).toEqual({ code: 'CANCEL', message: 'ä'.repeat(128) })
    expect(parseReset(Uint8Array.of(0, 0, 1, 0))).toEqual({ code: 'INTERNAL', message: '' })
    expect(parseEnd(bytes({ error: { code: 'LATER', message: 'm' } }))).toEqual({
      error: { code: 'INTERNAL', message: 'm' },
    })
  })
})
