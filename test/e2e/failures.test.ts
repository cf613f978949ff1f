/** What the client sees, and what the books say, when a part of the system goes away. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Admin } from '../../gateway/control/admin.ts'
import { openAdmin } from '../../gateway/control/open-admin.ts'
import { isFields } from '../../shared/parse.ts'
import { BurrowProcess, childPids, runJson } from '../support/burrow-process.ts'
import { eventually } from '../support/eventually.ts'
import { RunningBurrow } from '../support/running-burrow.ts'
import { SseReader } from '../support/sse-reader.ts'
import { makeTempFolder, removeFolder } from '../support/temp-folder.ts'
import { startRelay, type Relay } from '../support/tunnel-relay.ts'
import { arm, type Kill } from '../backend/engine/killer.ts'

const killerScript = fileURLToPath(new URL('../backend/engine/killer.ts', import.meta.url))

const sum = (model: string) => ({ model, messages: [{ role: 'user', content: '3+5=?' }] })

const expectHonestEnd = (events: readonly string[]) => {
  expect(events).not.toContain('[DONE]')
  expect(JSON.parse(events.at(-1) ?? '')).toMatchObject({
    error: { type: 'server_error', message: expect.any(String) },
  })
}

describe('the backend process is killed', () => {
  let burrow: RunningBurrow
  beforeAll(async () => {
    burrow = await RunningBurrow.start()
  })
  afterAll(() => burrow.stop())

  /** The backend child of `burrow up`. */
  const backendPid = async () => {
    const children = await childPids(burrow.process.child.pid ?? 0)
    expect(children).toHaveLength(1)
    return children[0] ?? 0
  }

  test('its clients get an honest error, the books say that it took its counts along, the next request works', async () => {
    const reader = new SseReader(await burrow.chatStream('count from 1 to 400'))
    const whole = burrow.post('/v1/chat/completions', {
      ...sum(burrow.model),
      messages: [{ role: 'user', content: 'count from 1 to 399' }],
      temperature: 0,
    })
    for (let i = 0; i < 5; i++) await reader.next()
    await eventually(async () => (await burrow.engine())?.running === 2)

    process.kill(await backendPid(), 'SIGKILL')

    expectHonestEnd(await reader.rest())
    const answer = await whole
    expect(answer.status).toBe(502)
    expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(await answer.json()).toMatchObject({ error: { type: 'server_error' } })
    const rows = await eventually(() => {
      const all = burrow.usage()
      return all.length === 2 && all
    })
    // The last count that it told, if it lived long enough to tell one.
    for (const { outcome, tokens_source } of rows) {
      expect(outcome).toBe('failed')
      expect(['last_reported', 'lost']).toContain(tokens_source)
    }

    // While nobody is connected: 503, which the official client tries again.
    const early = await burrow.post('/v1/chat/completions', sum(burrow.model))
    expect([200, 503]).toContain(early.status)
    const answered = await eventually(async () => {
      const response = await burrow.post('/v1/chat/completions', sum(burrow.model))
      return response.status === 200 && response.json()
    }, 15_000)
    expect(answered).toMatchObject({ choices: [{ message: { content: '3+5=8' } }] })
  })
})

describe('a thread of the engine dies', () => {
  const home = makeTempFolder()
  const kills: readonly Kill[] = [
    { rank: 1, at: 'decode', how: 'exit', file: join(home, 'kill-rank') },
    { rank: null, at: 'step', how: 'throw', file: join(home, 'kill-engine') },
  ]
  let gateway: BurrowProcess
  let backend: BurrowProcess
  let admin: Admin
  let client: OpenAI

  beforeAll(async () => {
    gateway = new BurrowProcess(['gateway', '--port', '0', '--home', home])
    const url = (await gateway.printed(/gateway is up: (http:\S+),/))[1] ?? ''
    const { key } = await runJson(['keys', 'create', '--name', 'test', '--home', home])
    const { token } = await runJson(['backends', 'enroll', '--name', 'box', '--home', home])
    const tunnel = `${url.replace('http', 'ws')}/tunnel`
    backend = new BurrowProcess(
      ['backend', '--gateway', tunnel, '--home', home, '--tensor-parallel-size', '2'],
      {
        BURROW_TOKEN: token,
        BURROW_TEST_KILLS: JSON.stringify(kills),
        NODE_OPTIONS: `--import ${killerScript}`,
      },
    )
    await backend.printed(/tunnel connected/)
    admin = await openAdmin(home)
    client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 })
  }, 60_000)
  afterAll(async () => {
    admin.close()
    await backend.interrupt()
    await gateway.interrupt()
    removeFolder(home)
  })

  const health = async () => {
    const [box] = await admin.listBackends()
    return isFields(box?.health) ? box.health : {}
  }

  const ask = (content: string) =>
    client.chat.completions.create({
      model: 'burrow-tiny',
      temperature: 0,
      messages: [{ role: 'user', content }],
    })

  test.each(kills)(
    '$how, rank $rank: its requests fail, and the same process serves on',
    async (kill) => {
      const before = Number((await health()).restarts)
      const whole = ask('count from 1 to 399').catch((error: unknown) => error)
      const stream = await client.chat.completions.create({
        model: 'burrow-tiny',
        messages: [{ role: 'user', content: 'count from 1 to 400' }],
        temperature: 0,
        stream: true,
      })
      let numChunks = 0
      const reading = (async () => {
        for await (const _ of stream) if (++numChunks === 5) arm(kill)
      })()
      await expect(reading).rejects.toThrow()
      expect(numChunks).toBeGreaterThanOrEqual(5)

      // The model stays in the list; until the engine is back, a request is told when to come again.
      const [refused, told, models] = await Promise.all([
        ask('3+5=?').catch((error: unknown) => error),
        health(),
        client.models.list(),
      ])
      expect(refused).toMatchObject({
        status: 503,
        code: 'engine_unavailable',
        headers: expect.toSatisfy((headers: Headers) => Number(headers.get('retry-after')) >= 1),
      })
      expect(told).toMatchObject({ status: 'recovering', restarts: before })
      expect(models.data).toHaveLength(1)
      expect(await whole).toMatchObject({ status: 500, code: 'engine_failed' })

      const recovered = async () => {
        const told = await health()
        return told.status === 'ok' && told
      }
      expect(await eventually(recovered, 20_000)).toMatchObject({
        restarts: before + 1,
        running: 0,
      })
      expect((await ask('3+5=?')).choices[0]?.message.content).toBe('3+5=8')
      expect(backend.child.exitCode).toBe(null)
    },
  )
})

describe.runIf(process.platform === 'linux')('a thread of the engine never returns', () => {
  const folder = makeTempFolder()
  const kill: Kill = { rank: null, at: 'step', how: 'native', file: join(folder, 'kill') }
  let burrow: RunningBurrow
  beforeAll(async () => {
    burrow = await RunningBurrow.start(['--step-timeout', '2'], {
      BURROW_TEST_KILLS: JSON.stringify([kill]),
      NODE_OPTIONS: `--import ${killerScript}`,
    })
  })
  afterAll(async () => {
    await burrow.stop()
    removeFolder(folder)
  })

  test('its requests fail, and another process takes its place', async () => {
    const ask = () => burrow.post('/v1/chat/completions', { ...sum(burrow.model), temperature: 0 })
    arm(kill)
    const answer = await ask()
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({ error: { code: 'engine_failed' } })
    await burrow.process.printed(/backend process ended.*cannot be ended/)
    const answered = await eventually(async () => {
      const response = await ask()
      return response.status === 200 && response.json()
    }, 15_000)
    expect(answered).toMatchObject({ choices: [{ message: { content: '3+5=8' } }] })
  })
})

describe('two sides apart, a relay between them', () => {
  const home = makeTempFolder()
  let gateway: BurrowProcess
  let backend: BurrowProcess
  let relay: Relay
  let admin: Admin
  let url: string
  let key: string

  beforeAll(async () => {
    gateway = new BurrowProcess(['gateway', '--port', '0', '--home', home])
    url = (await gateway.printed(/gateway is up: (http:\S+),/))[1] ?? ''
    relay = await startRelay(Number(new URL(url).port))
    key = (await runJson(['keys', 'create', '--name', 'test', '--home', home])).key
    const token = (await runJson(['backends', 'enroll', '--name', 'box', '--home', home])).token
    backend = new BurrowProcess(
      ['backend', '--gateway', `ws://127.0.0.1:${relay.port}/tunnel`, '--home', home],
      { BURROW_TOKEN: token },
    )
    await backend.printed(/tunnel connected/)
    admin = await openAdmin(home)
  })
  afterAll(async () => {
    admin.close()
    await backend.interrupt()
    await gateway.interrupt()
    await relay.close()
    removeFolder(home)
  })

  const post = (content: string, stream: boolean) =>
    fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'burrow-tiny',
        temperature: 0,
        stream,
        messages: [
          {
            role: 'user',
            content,
          },
        ],
      }),
    })

  test('a cut socket fails what runs, honestly, and the backend comes back by itself', async () => {
    const reader = new SseReader(await post('count from 1 to 400', true))
    const whole = post('count from 1 to 399', false)
    for (let i = 0; i < 5; i++) await reader.next()
    // Both must run: a request that is not sent yet is turned down by 503 instead.
    await eventually(async () => {
      const [box] = await admin.listBackends()
      return isFields(box?.health) && box.health.running === 2
    })
    relay.cut()
    expectHonestEnd(await reader.rest())
    const answer = await whole
    expect(answer.status).toBe(502)
    expect(answer.headers.get('x-should-retry')).toBe('false')
    const answered = await eventually(async () => {
      const response = await post('3+5=?', false)
      return response.status === 200 && response.json()
    }, 10_000)
    expect(answered).toMatchObject({ choices: [{ message: { content: '3+5=8' } }] })
  })

  test('a revoked key stops its running stream, and is refused from then on', async () => {
    const second = await runJson(['keys', 'create', '--name', 'short-lived', '--home', home])
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${second.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'burrow-tiny',
        temperature: 0,
        stream: true,
        messages: [
          {
            role: 'user',
            content: 'count from 1 to 400',
          },
        ],
      }),
    })
    const reader = new SseReader(response)
    await reader.next()
    await runJson(['keys', 'revoke', second.id, '--home', home])
    const events = await reader.rest()
    // An answer that was left to its end would have it.
    expect(events).not.toContain('[DONE]')
    expect(JSON.parse(events.at(-1) ?? '')).toMatchObject({ error: { code: 'invalid_api_key' } })
    const refused = await fetch(`${url}/v1/models`, {
      headers: { authorization: `Bearer ${second.key}` },
    })
    expect(refused.status).toBe(401)
  })

  test('a backend with an unknown token is told so and is not let in', async () => {
    const stranger = new BurrowProcess(
      ['backend', '--gateway', `${url.replace('http', 'ws')}/tunnel`, '--home', home],
      { BURROW_TOKEN: 'brt_unknown' },
    )
    await stranger.printed(/does not know this backend token/)
    await stranger.kill()
  })

  test('a revoked backend is cut off: the gateway then has none', async () => {
    const [box] = await runJson(['backends', 'list', '--home', home])
    expect(box).toMatchObject({ name: 'box', connected: true, models: ['burrow-tiny'] })
    await runJson(['backends', 'revoke', box.id, '--home', home])
    const response = await post('3+5=?', false)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await response.json()).toMatchObject({ error: { code: 'no_backend_online' } })
  })
})
