/** Draining either side under load, over real sockets: no request lost, none run twice. */
import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { dial } from '../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../backend/tunnel/login.ts'
import { TokenMint } from '../../backend/tunnel/token.ts'
import { drainCommand } from '../../gateway/control/drain-command.ts'
import { drainBackendOfGateway, drainRunningGateway } from '../../gateway/control/drain-running.ts'
import { openAdmin } from '../../gateway/control/open-admin.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { eventually } from '../support/eventually.ts'
import { silentLog } from '../support/silent-log.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { auth, chat, errorOf } from './forwarding.ts'
import { testGateway, type TestGateway } from './test-gateway.ts'

/** How often each request ran, over all backends. */
class Runs {
  readonly counts = new Map<string, number>()
  readonly byBackend = new Map<string, number>()

  /** Answers with a few events, some milliseconds apart. */
  handler(backend: string): TunnelHandler {
    return async (_, exchange) => {
      this.counts.set(exchange.requestId, (this.counts.get(exchange.requestId) ?? 0) + 1)
      this.byBackend.set(backend, (this.byBackend.get(backend) ?? 0) + 1)
      exchange.reportUsage({ promptTokens: 1, completionTokens: 3 })
      let left = 3
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await sleep(2)
          const text = left-- > 0 ? 'data: {}\n\n' : 'data: [DONE]\n\n'
          controller.enqueue(new TextEncoder().encode(text))
          if (left < 0) controller.close()
        },
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    }
  }

  get ids(): string[] {
    return [...this.counts.keys()].toSorted()
  }
}

const whole = `${'data: {}\n\n'.repeat(3)}data: [DONE]\n\n`

/** A backend of its own, with two connections. */
const addBackend = async (gateway: TestGateway, name: string, runs: Runs) => {
  const { token } = await gateway.admin.enrollBackend(name)
  const tunnel = dial({
    url: `${gateway.url.replace('http', 'ws')}/tunnel`,
    login: tokenLogin(new TokenMint({ enrolmentSecret: token.reveal() })),
    models: ['tiger'],
    handler: runs.handler(name),
    log: silentLog,
    connections: 2,
    spacingMs: 1,
    random: () => 0,
  })
  onTestFinished(() => tunnel.close(0))
  await tunnel.connected
  return tunnel
}

/** Clients that ask one request after the other until `stop`. */
class Load {
  readonly answers: { id: string | null; status: number; text: string }[] = []
  /** Clients that could not connect any more, or whose kept connection was closed: they stop. */
  numTurnedAway = 0
  readonly #clients: Promise<void>[]
  #isStopped = false

  constructor(gateway: TestGateway, numClients = 12) {
    this.#clients = Array.from({ length: numClients }, async () => {
      while (!this.#isStopped) {
        const response = await gateway
          .post(chat, { model: 'tiger', stream: true })
          .catch(() => null)
        if (!response) {
          this.numTurnedAway++
          return
        }
        const id = response.headers.get('x-request-id')
        this.answers.push({ id, status: response.status, text: await response.text() })
      }
    })
  }

  /** Until so many have been answered. */
  answered(count: number): Promise<true> {
    return eventually(() => this.answers.length >= count)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#clients)
  }
}

test('a backend that leaves under load loses nothing, and nothing runs twice', async () => {
  const gateway = await testGateway()
  const runs = new Runs()
  const leaving = await addBackend(gateway, 'leaving', runs)
  await addBackend(gateway, 'staying', runs)
  const load = new Load(gateway)
  await load.answered(30)
  await leaving.close()
  const atEnd = runs.byBackend.get('leaving')
  await load.answered(load.answers.length + 30)
  await load.stop()

  expect(load.answers.filter(({ status, text }) => status !== 200 || text !== whole)).toEqual([])
  expect(runs.ids).toEqual(load.answers.map(({ id }) => id).toSorted())
  expect(new Set(runs.counts.values())).toEqual(new Set([1]))
  expect(runs.byBackend.get('leaving')).toBe(atEnd)
  const records = await gateway.usage(load.answers.length)
  expect(records.length).toBe(load.answers.length)
  expect(new Set(records.map(({ outcome }) => outcome))).toEqual(new Set(['completed']))
})

test('the last backend of a model finishes what it has, and what comes late is told to come again', async () => {
  const gateway = await testGateway()
  const runs = new Runs()
  const leaving = await addBackend(gateway, 'leaving', runs)
  const load = new Load(gateway)
  await load.answered(30)
  await leaving.close()
  await load.stop()

  const [ran, refused] = [200, 503].map((status) =>
    load.answers.filter((answer) => answer.status === status),
  )
  expect((ran?.length ?? 0) + (refused?.length ?? 0)).toBe(load.answers.length)
  expect(ran?.filter(({ text }) => text !== whole)).toEqual([])
  // Nothing that was refused had run.
  expect(runs.ids).toEqual(ran?.map(({ id }) => id).toSorted())
  expect(new Set(runs.counts.values())).toEqual(new Set([1]))
})

test('`burrow drain BACKEND` takes one backend out of service, until it is started again', async () => {
  const gateway = await testGateway()
  const runs = new Runs()
  await addBackend(gateway, 'one', runs)
  await addBackend(gateway, 'two', runs)
  const load = new Load(gateway)
  await load.answered(30)
  expect(await drainBackendOfGateway(gateway.home, 'one', 10_000)).toEqual({
    name: 'one',
    running: 0,
  })
  const atEnd = runs.byBackend.get('one')
  await load.answered(load.answers.length + 30)
  await load.stop()

  expect(load.answers.filter(({ status, text }) => status !== 200 || text !== whole)).toEqual([])
  expect(new Set(runs.counts.values())).toEqual(new Set([1]))
  expect(runs.byBackend.get('one')).toBe(atEnd)
  const admin = await openAdmin(gateway.home)
  const states = (await admin.listBackends()).map(({ name, draining }) => [name, draining])
  expect(Object.fromEntries(states)).toEqual({ gpu: false, one: true, two: false })
})

test('`burrow drain` lets the gateway finish all that it has taken, and refuses the rest', async () => {
  const gateway = await testGateway()
  const runs = new Runs()
  await addBackend(gateway, 'one', runs)
  await addBackend(gateway, 'two', runs)
  const load = new Load(gateway)
  await load.answered(30)
  const drained = drainRunningGateway(gateway.home, 10_000)
  await gateway.drainRequested
  expect(await gateway.drain()).toEqual({ cut: 0 })
  expect(await drained).toEqual({ cut: 0 })
  await load.stop()
  expect(load.numTurnedAway).toBe(12)

  const ran = load.answers.filter(({ status }) => status === 200)
  const others = load.answers.filter(({ status }) => status !== 200)
  expect(ran.filter(({ text }) => text !== whole)).toEqual([])
  expect(others.filter(({ text }) => !text.includes('gateway_draining'))).toEqual([])
  expect(runs.ids).toEqual(ran.map(({ id }) => id).toSorted())
  expect(new Set(runs.counts.values())).toEqual(new Set([1]))
  expect(await drainRunningGateway(gateway.home, 10_000)).toBeNull()
})

test('a request whose body is still coming when the drain begins is served', async () => {
  const gateway = await testGateway()
  const runs = new Runs()
  await addBackend(gateway, 'one', runs)
  const outgoing = request(gateway.url + chat, {
    method: 'POST',
    headers: { ...auth(gateway), expect: '100-continue' },
  })
  // Sent when the gateway has begun with the request.
  await once(outgoing, 'continue')
  outgoing.write('{"model": "tiger",')
  const drained = gateway.drain(10_000)
  await expect(fetch(`${gateway.url}/health`)).rejects.toThrow('fetch failed')
  outgoing.end('"stream": true}')
  const [incoming] = await once(outgoing, 'response')
  expect(await text(incoming)).toBe(whole)
  expect(await drained).toEqual({ cut: 0 })
})

test('what does not finish in time is cut, and counted', async () => {
  const gateway = await testGateway()
  const { token } = await gateway.admin.enrollBackend('stuck')
  const tunnel = dial({
    url: `${gateway.url.replace('http', 'ws')}/tunnel`,
    login: tokenLogin(new TokenMint({ enrolmentSecret: token.reveal() })),
    models: ['tiger'],
    handler: (request) =>
      new Promise((_, reject) => {
        request.signal.addEventListener('abort', () => reject(new Error('cut')))
      }),
    log: silentLog,
  })
  onTestFinished(() => tunnel.close(0))
  await tunnel.connected
  const answer = gateway.post(chat, { model: 'tiger' })
  await eventually(() => tunnel.openStreams === 1)
  const one = await drainBackendOfGateway(gateway.home, 'stuck', 20)
  expect(one).toEqual({ name: 'stuck', running: 1 })
  const outcome = drainCommand(
    [],
    { home: gateway.home, 'drain-timeout': '0' },
    {},
    async () => null,
  )
  await gateway.drainRequested
  await gateway.drain()
  expect(await outcome).toEqual({
    isWhole: false,
    text: 'The gateway ended. Time was up: 1 request was cut, and told so.',
  })
  expect(await errorOf(await answer)).toMatchObject({ status: 503, code: 'gateway_draining' })
})

test('whoever has nothing to drain is told what to do', async () => {
  const gateway = await testGateway()
  const drain = (words: string[], home: string, seconds = '1') =>
    drainCommand(words, { home, 'drain-timeout': seconds }, {}, async () => null)

  await expect(drain(['nobody'], gateway.home)).rejects.toThrow(
    'no backend nobody is connected: `backends list` shows them',
  )
  const empty = tempFolder()
  await expect(drain([], empty)).rejects.toThrow(
    `nothing runs in ${empty}: give the --home of the gateway or backend that is to drain`,
  )
  await expect(drain(['gpu'], empty)).rejects.toThrow(`no gateway runs in ${empty}`)
  await expect(drain(['a', 'b'], empty)).rejects.toThrow('takes one BACKEND at most')
  await expect(drain([], empty, 'soon')).rejects.toThrow(
    '--drain-timeout must be a number of seconds up to 86400, not soon',
  )
})
