/** SIGTERM, as systemd and Docker send it, to a gateway and a backend on their own. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BurrowProcess, runJson } from '../support/burrow-process.ts'
import type { SseReader } from '../support/sse-reader.ts'
import { makeTempFolder, removeFolder } from '../support/temp-folder.ts'
import { begunStream } from './begun-stream.ts'

const home = makeTempFolder()
let gateway: BurrowProcess
let url: string
let key: string
let token: string

const startGateway = async (port: string): Promise<void> => {
  gateway = new BurrowProcess(['gateway', '--port', port, '--home', home])
  url = (await gateway.printed(/gateway is up: (http:\S+),/))[1] ?? ''
}

const startBackend = async (): Promise<BurrowProcess> => {
  const backend = new BurrowProcess(
    ['backend', '--gateway', `${url.replace('http', 'ws')}/tunnel`, '--home', home],
    { BURROW_TOKEN: token },
  )
  await backend.printed(/tunnel connected/)
  return backend
}

/** A stream of which some has come, and more is to come. */
const streaming = (): Promise<SseReader> => begunStream(url, key, 100)

const terminate = (process: BurrowProcess): void => {
  process.child.kill('SIGTERM')
}

beforeAll(async () => {
  await startGateway('0')
  key = (await runJson(['keys', 'create', '--name', 'test', '--home', home])).key
  token = (await runJson(['backends', 'enroll', '--name', 'box', '--home', home])).token
})
afterAll(async () => {
  await gateway.kill()
  removeFolder(home)
})

// The grace is 30 s: a process that waited for its end would miss the test's own limit.
describe('a backend', () => {
  test('that is idle ends at once; one that serves, when its last stream is whole', async () => {
    const idle = await startBackend()
    terminate(idle)
    expect(await idle.exited()).toBe(0)

    const busy = await startBackend()
    const reader = await streaming()
    terminate(busy)
    expect((await reader.rest()).at(-1)).toBe('[DONE]')
    expect(await busy.exited()).toBe(0)
    expect(busy.output).not.toMatch(/Error|\n\s+at /)
  }, 25_000)
})

describe('a backend that is told twice', () => {
  test('cuts its streams, and their counts are in the books', async () => {
    const backend = await startBackend()
    const reader = await streaming()
    terminate(backend)
    await backend.printed(/stopping/)
    terminate(backend)
    const events = await reader.rest()
    expect(events).not.toContain('[DONE]')
    expect(JSON.parse(events.at(-1) ?? '')).toMatchObject({ error: { code: 'backend_stopped' } })
    expect(await backend.exited()).toBe(130)
    await gateway.printed(/request done.* outcome=failed .*completion=[1-9]\d* tokens=reported/)
  }, 25_000)
})

describe('a gateway', () => {
  test('ends when its last stream is whole, or at once when told twice; its backend stays', async () => {
    const backend = await startBackend()
    const { port } = new URL(url)
    const whole = await streaming()
    terminate(gateway)
    await gateway.printed(/stopping/)
    await expect(fetch(`${url}/health`)).rejects.toThrow()
    expect((await whole.rest()).at(-1)).toBe('[DONE]')
    expect(await gateway.exited()).toBe(0)

    await startGateway(port)
    await backend.printed(/tunnel connected[^]*tunnel connected/)
    const cut = await streaming()
    terminate(gateway)
    await gateway.printed(/stopping/)
    terminate(gateway)
    const events = await cut.rest()
    expect(events).not.toContain('[DONE]')
    expect(JSON.parse(events.at(-1) ?? '')).toMatchObject({ error: { code: 'gateway_draining' } })
    expect(await gateway.exited()).toBe(0)

    await startGateway(port)
    terminate(gateway)
    expect(await gateway.exited()).toBe(0)
    await backend.kill()
  }, 25_000)
})
