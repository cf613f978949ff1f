import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { tokenLogin } from '../../backend/tunnel/login.ts'
import { TokenMint } from '../../backend/tunnel/token.ts'
import { UsageJournal } from '../../backend/tunnel/usage-journal.ts'
import { startGateway } from '../../gateway/node.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { defaultTiming } from '../../shared/tunnel/limits.ts'
import { eventually } from '../support/eventually.ts'
import { silentLog } from '../support/silent-log.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { dialTest } from '../support/tunnel-pair.ts'
import { startRelay } from '../support/tunnel-relay.ts'
import { encoder, event } from '../gateway/forwarding.ts'

/** Counts what it has sent, a token an event, until the client or the connection is gone. */
const counting: TunnelHandler = async ({ signal }, exchange) => {
  let completionTokens = 0
  const final = Promise.withResolvers<{ promptTokens: number; completionTokens: number }>()
  exchange.usage(final.promise)
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (signal.aborted) return
      controller.enqueue(encoder.encode(event(String(++completionTokens))))
      exchange.reportUsage({ promptTokens: 7, completionTokens })
      await sleep(1)
    },
  })
  signal.addEventListener('abort', () => final.resolve({ promptTokens: 7, completionTokens }))
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

/** Tells a count and then nothing more, whatever happens. */
const stuck: TunnelHandler = async (_, exchange) => {
  exchange.usage(new Promise(() => {}))
  exchange.reportUsage({ promptTokens: 7, completionTokens: 2 })
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encoder.encode(event('2'))),
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

/** A gateway with one key and one backend, whose connection passes a relay. */
const setUp = async (handler: TunnelHandler) => {
  const home = tempFolder()
  const gateway = await startGateway({ host: '127.0.0.1', port: 0, home }, { log: silentLog })
  onTestFinished(() => gateway.close())
  const { secret } = await gateway.admin.createKey('test')
  const { token } = await gateway.admin.enrollBackend('gpu')
  const relay = await startRelay(Number(new URL(gateway.url).port))
  onTestFinished(() => relay.close())
  const journal = new UsageJournal(home, { log: silentLog })
  const tunnel = dialTest({
    url: `ws://127.0.0.1:${relay.port}/tunnel`,
    login: tokenLogin(new TokenMint({ enrolmentSecret: token.reveal() })),
    models: ['tiger'],
    handler,
    journal,
    timing: { ...defaultTiming, tickMs: 5, usageMs: 5, settleMs: 100 },
  })
  onTestFinished(async () => {
    await tunnel.close(0)
    journal.close()
  })
  await tunnel.connected
  const database = new DatabaseSync(join(home, 'burrow.db'), { readOnly: true })
  const journalled = new DatabaseSync(join(home, 'usage-journal.db'), { readOnly: true })
  onTestFinished(() => {
    database.close()
    journalled.close()
  })
  return {
    relay,
    ask: (stream: boolean) =>
      fetch(`${gateway.url}/v1/completions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${secret.reveal()}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ model: 'tiger', prompt: '', stream }),
      }),
    records: () => database.prepare('SELECT * FROM usage_records').all(),
    numJournalled: () => journalled.prepare('SELECT * FROM counts').all().length,
  }
}

test('an answered request leaves nothing in the journal', async () => {
  const { ask, records, numJournalled } = await setUp(async (_, exchange) => {
    exchange.reportUsage({ promptTokens: 7, completionTokens: 3 })
    return Response.json({})
  })
  await (await ask(false)).text()

  await eventually(() => records().length === 1 && numJournalled() === 0)
  expect(records()).toMatchObject([{ completion_tokens: 3, tokens_source: 'reported' }])
})

test('a cut connection gets its true count into the books when it is back', async () => {
  const { relay, ask, records, numJournalled } = await setUp(counting)
  const response = await ask(true)
  const reader = response.body?.getReader()
  for (let i = 0; i < 5; i++) await reader?.read()
  relay.cut()

  const [record] = await eventually(() => {
    const rows = records()
    return rows[0]?.['tokens_source'] === 'reported' && rows
  }, 15_000)
  expect(record).toMatchObject({ outcome: 'failed', status: 200, prompt_tokens: 7 })
  expect(record?.['completion_tokens']).toBeGreaterThanOrEqual(5)
  await eventually(() => numJournalled() === 0)
  expect(records()).toHaveLength(1)
})

test('a backend that never comes back leaves its last reported count, marked as such', async () => {
  const { relay, ask, records } = await setUp(stuck)
  const reader = (await ask(true)).body?.getReader()
  await reader?.read()
  // Its count is due each 5 ms.
  await sleep(300)
  await relay.close()

  await eventually(() => records().length === 1)
  expect(records()).toMatchObject([
    { outcome: 'failed', prompt_tokens: 7, completion_tokens: 2, tokens_source: 'last_reported' },
  ])
})
