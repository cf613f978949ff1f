/** What the client sees, and what the books say, when a part of the system goes away. */
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

  test('its clients get an honest error, the books say "lost", the next request works', async () => {
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
    expect(rows.map(({ outcome, tokens_source }) => [outcome, tokens_source])).toEqual([
      ['failed', 'lost'],
      ['failed', 'lost'],
    ])

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

  test('a revoked key stops its running stream within a second, and is refused from then on', async () => {
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
    const revokedAt = performance.now()
    const events = await reader.rest()
    expect(performance.now() - revokedAt).toBeLessThan(1_000)
    expect(events).not.toContain('[DONE]')
    expect(JSON.parse(events.at(-1) ?? '')).toHaveProperty('error')
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
