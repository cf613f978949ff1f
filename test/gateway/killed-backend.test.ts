/** What clients and books are told when a backend's process is killed, wherever a request stands. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { startRelay } from '../support/tunnel-relay.ts'
import { SseReader } from '../support/sse-reader.ts'
import { until } from '../support/tunnel-pair.ts'
import { dialBackend } from './dialled-backend.ts'
import { answering, chat, errorOf } from './forwarding.ts'
import type { FromKillable } from './killable-backend.ts'
import { testGateway } from './test-gateway.ts'

const script = fileURLToPath(new URL('killable-backend.ts', import.meta.url))

/** A gateway, a relay that counts what passes, and ways to start backends behind it. */
const system = async () => {
  const gateway = await testGateway()
  const relay = await startRelay(Number(new URL(gateway.url).port))
  onTestFinished(() => relay.close())
  const start = async (): Promise<ChildProcess> => {
    const child = fork(script, {
      env: {
        ...process.env,
        TUNNEL_URL: `ws://127.0.0.1:${relay.port}/tunnel`,
        TUNNEL_TOKEN: gateway.token.reveal(),
      },
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    await said(child, 'connected')
    return child
  }
  const ask = (act: 'answer' | 'hang' | 'stream') =>
    gateway.post(chat, { model: 'tiger', stream: act === 'stream', act })
  /** The next backend serves, and each request is in the books once. */
  const goesOn = async (numKilled: number): Promise<Record<string, unknown>[]> => {
    const { token } = gateway
    await dialBackend({ port: relay.port, token, handler: answering('{}') })
    expect((await ask('answer')).status).toBe(200)
    const records = await gateway.usage(numKilled + 1)
    expect(records).toHaveLength(numKilled + 1)
    expect(records.at(-1)).toMatchObject({ outcome: 'completed', completion_tokens: 3 })
    return records.slice(0, numKilled)
  }
  return { relay, start, ask, goesOn }
}

const said = async (child: ChildProcess, word: FromKillable): Promise<void> => {
  for (;;) {
    const [message] = await once(child, 'message')
    if (message === word) return
  }
}

const kill = async (child: ChildProcess): Promise<void> => {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

const expectHonestEnd = (events: readonly string[]) => {
  expect(events).not.toContain('[DONE]')
  expect(JSON.parse(events.at(-1) ?? '')).toMatchObject({
    error: { code: 'backend_connection_lost' },
  })
}

test('before ACCEPT: it may have run, so nobody sends it again', async () => {
  const { relay, start, ask, goesOn } = await system()
  const child = await start()
  child.kill('SIGSTOP')
  const before = relay.passed.down
  const answer = ask('answer')
  await until(() => relay.passed.down > before, 'the request has left')
  await kill(child)

  expect(await errorOf(await answer)).toMatchObject({
    status: 502,
    shouldRetry: 'false',
    code: 'backend_connection_lost',
  })
  expect(await goesOn(1)).toMatchObject([{ outcome: 'failed', status: 502, tokens_source: 'lost' }])
})

test('before HEAD', async () => {
  const { start, ask, goesOn } = await system()
  const child = await start()
  const answer = ask('hang')
  await said(child, 'begun')
  await kill(child)

  expect(await errorOf(await answer)).toMatchObject({ status: 502, shouldRetry: 'false' })
  expect(await goesOn(1)).toMatchObject([{ outcome: 'failed', status: 502 }])
})

test('in the middle of an answer', async () => {
  const { start, ask, goesOn } = await system()
  const child = await start()
  const reader = new SseReader(await ask('stream'))
  for (let i = 0; i < 3; i++) await reader.next()
  await kill(child)

  expectHonestEnd(await reader.rest())
  expect(await goesOn(1)).toMatchObject([{ outcome: 'failed', status: 200 }])
})

test('while it drains', async () => {
  const { start, ask, goesOn } = await system()
  const child = await start()
  const reader = new SseReader(await ask('stream'))
  await reader.next()
  child.kill('SIGTERM')
  await said(child, 'draining')
  // The stream goes on for as long as the grace lasts.
  for (let i = 0; i < 3; i++) expect(await reader.next()).toContain('text')
  await kill(child)

  expectHonestEnd(await reader.rest())
  expect(await goesOn(1)).toMatchObject([{ outcome: 'failed', status: 200 }])
})
