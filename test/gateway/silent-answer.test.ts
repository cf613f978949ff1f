import { describe, expect, it } from 'vitest'
import { answerBody } from '../../gateway/answer-body.ts'
import { answerInTime } from '../../gateway/late-answer.ts'
import { ApiError } from '../../shared/errors.ts'

const comment = ': keep-alive\n\n'
const explain = () => new ApiError(502, 'broken')
const quick = { headMs: 5, keepAliveMs: 5, stallMs: 20 }

/** A body written by hand, and what it was cancelled with. */
const source = () => {
  const cancelled = Promise.withResolvers<unknown>()
  let write = (_text: string) => {}
  let close = () => {}
  const readable = new ReadableStream<Uint8Array>({
    start(controller) {
      write = (text) => controller.enqueue(new TextEncoder().encode(text))
      close = () => controller.close()
    },
    cancel: (reason) => cancelled.resolve(reason),
  })
  return { readable, cancelled: cancelled.promise, write, close }
}

const bodyOf = (readable: ReadableStream<Uint8Array>, isEventStream: boolean) =>
  answerBody({
    source: readable,
    isEventStream,
    stop: new AbortController().signal,
    onFirstBytes: () => {},
    explain,
    timing: quick,
  })

/** Reads chunk by chunk as text; null at the end. */
const textReader = (body: ReadableStream<Uint8Array> | null) => {
  const reader = body?.getReader()
  const decoder = new TextDecoder()
  return {
    async next(): Promise<string | null> {
      const { value } = (await reader?.read()) ?? {}
      return value ? decoder.decode(value) : null
    },
    /** The next chunk that is no comment. */
    async nextEvent(): Promise<string | null> {
      for (;;) {
        const text = await this.next()
        if (text !== comment) return text
      }
    },
    cancel: (reason: unknown) => reader?.cancel(reason),
  }
}

describe('a silent answer', () => {
  it('carries comments between its events, never inside one', async () => {
    const { readable, write, close } = source()
    const reader = textReader(bodyOf(readable, true))
    write('data: a\n\ndata: ')
    expect(await reader.next()).toBe('data: a\n\n')
    expect([await reader.next(), await reader.next()]).toEqual([comment, comment])
    write('b\n\n')
    close()
    expect([await reader.nextEvent(), await reader.next()]).toEqual(['data: b\n\n', null])
  })

  it('stays as it is when it is no event stream', async () => {
    const { readable, write, close } = source()
    const text = new Response(bodyOf(readable, false)).text()
    write('{"a"')
    // Several times as long as a comment takes to come.
    await new Promise((resolve) => setTimeout(resolve, 50))
    write(': 1}')
    close()
    expect(await text).toBe('{"a": 1}')
  })

  it.each([true, false])('ends when the client takes nothing (event stream: %s)', async (sse) => {
    const { readable, write, cancelled } = source()
    const body = bodyOf(readable, sse)
    write('data: a\n\n')
    expect(await cancelled).toMatchObject({ message: 'the client does not read' })
    const rest = new Response(body).text()
    if (sse) expect(await rest).toContain('data: {"error":{"message":"broken"')
    else await expect(rest).rejects.toThrow('the client does not read')
  })

  it('ends also when the client takes its comments no more', async () => {
    const { readable, cancelled } = source()
    const reader = textReader(bodyOf(readable, true))
    expect(await reader.next()).toBe(comment)
    // One read that waits, and is answered by a comment; nothing after it.
    expect(await reader.next()).toBe(comment)
    expect(await cancelled).toMatchObject({ message: 'the client does not read' })
  })
})

describe('a late answer', () => {
  const options = { ...quick, explain, left: () => {} }

  it('is itself when it comes in time, and so is its failure', async () => {
    const response = new Response('x', { status: 418 })
    expect(await answerInTime(Promise.resolve(response), options)).toBe(response)
    const failed = Promise.reject(new ApiError(503, 'full'))
    await expect(answerInTime(failed, options)).rejects.toThrow('full')
  })

  it('has its head before, and comments until it comes', async () => {
    const answer = Promise.withResolvers<Response>()
    const response = await answerInTime(answer.promise, options)
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
    ])
    const reader = textReader(response.body)
    expect([await reader.next(), await reader.next()]).toEqual([comment, comment])
    answer.resolve(
      new Response('data: a\n\ndata: [DONE]\n\n', {
        headers: { 'content-type': 'text/event-stream' },
      }),
    )
    expect(await reader.nextEvent()).toBe('data: a\n\ndata: [DONE]\n\n')
    expect(await reader.next()).toBeNull()
  })

  it.each<[string, () => Response, string]>([
    [
      'a failure',
      () => {
        throw new Error('secret')
      },
      '"message":"broken"',
    ],
    [
      'an error of the backend',
      () => Response.json({ error: { message: 'too long', code: null } }, { status: 400 }),
      'data: {"error":{"message":"too long","code":null}}\n\n',
    ],
    ['anything else', () => new Response('<html>'), '"message":"The backend gave an answer that'],
  ])('tells %s as an event, and no [DONE]', async (_, answer, event) => {
    const late = new Promise((resolve) => setTimeout(resolve, 20)).then(answer)
    const text = await (await answerInTime(late, options)).text()
    expect(text).toContain(event)
    expect(text).not.toContain('[DONE]')
  })

  it('is stopped by a client that leaves before it', async () => {
    const left = Promise.withResolvers<unknown>()
    const never = new Promise<Response>(() => {})
    const response = await answerInTime(never, { ...options, left: left.resolve })
    await response.body?.cancel('gone')
    expect(await left.promise).toBe('gone')
  })
})
