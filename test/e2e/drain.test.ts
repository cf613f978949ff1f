/** `burrow drain` as an operator runs it, against real processes that stream. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { BurrowProcess, runBurrow, runJson } from '../support/burrow-process.ts'
import { eventually } from '../support/eventually.ts'
import { RunningBurrow } from '../support/running-burrow.ts'
import { SseReader } from '../support/sse-reader.ts'
import { makeTempFolder, removeFolder, tempFolder } from '../support/temp-folder.ts'
import { begunStream } from './begun-stream.ts'

const home = makeTempFolder()
let gateway: BurrowProcess
let url: string
let key: string

beforeAll(async () => {
  gateway = new BurrowProcess(['gateway', '--port', '0', '--home', home])
  url = (await gateway.printed(/gateway is up: (http:\S+),/))[1] ?? ''
  key = (await runJson(['keys', 'create', '--name', 'test', '--home', home])).key
}, 60_000)

afterAll(async () => {
  await gateway.interrupt()
  removeFolder(home)
})

/** A backend process with two connections, once both are up. */
const startBackend = async (name: string) => {
  const own = makeTempFolder()
  const { token } = await runJson(['backends', 'enroll', '--name', name, '--home', home])
  const tokenFile = join(own, 'secrets')
  writeFileSync(tokenFile, `${url.replace('http', 'ws')}/tunnel ${token}\n`)
  const backend = new BurrowProcess(['backend', '--token-file', tokenFile, '--home', own])
  onTestFinished(async () => {
    await backend.kill()
    removeFolder(own)
  })
  await backend.printed(/tunnel connected .*connection=1/)
  return { backend, own }
}

/** A long answer that has begun. */
const longAnswer = (countTo = 200): Promise<SseReader> => begunStream(url, key, countTo)

const drain = (...args: string[]) => runBurrow(['drain', ...args])

test('on a backend’s machine it finishes its streams, leaves and ends', async () => {
  const { backend, own } = await startBackend('box1')
  const answers = [await longAnswer(), await longAnswer()]
  const drained = drain('--home', own)
  const texts = await Promise.all(answers.map((answer) => answer.rest()))
  expect(texts.map((events) => events.at(-1))).toEqual(['[DONE]', '[DONE]'])
  expect(await drained).toEqual({
    code: 0,
    stdout: 'The backend finished all requests and ended.\n',
    stderr: '',
  })
  expect(await backend.exited()).toBe(0)
  expect(readdirSync(own).filter((name) => name.endsWith('.sock'))).toEqual([])
  expect(await drain('--home', own)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/nothing runs in .*: give the --home/),
  })
})

test('SIGTERM does the same', async () => {
  const { backend } = await startBackend('box2')
  const answer = await longAnswer(60)
  backend.child.kill('SIGTERM')
  expect((await answer.rest()).at(-1)).toBe('[DONE]')
  expect(await backend.exited()).toBe(0)
})

test('what does not finish in time is cut, and the exit code says so', async () => {
  const { backend, own } = await startBackend('box3')
  const answer = await longAnswer(2000)
  const { code, stdout } = await drain('--home', own, '--drain-timeout', '0')
  expect({ code, stdout }).toEqual({
    code: 2,
    stdout: 'The backend ended. Time was up: 1 request was cut, and told so.\n',
  })
  expect((await answer.rest()).at(-1)).toContain('backend_stopped')
  expect(await backend.exited()).toBe(0)
})

test('a socket that a killed backend has left behind is no backend', async () => {
  const { backend, own } = await startBackend('box4')
  await backend.kill()
  const isThere = () => readdirSync(own).some((name) => name.endsWith('.sock'))
  expect(isThere()).toBe(true)
  expect((await drain('--home', own)).code).toBe(1)
  expect(isThere()).toBe(false)
})

test('a gateway that is replaced on its port loses no stream, and its backends are there before', async () => {
  const { backend } = await startBackend('box5')
  const answer = await longAnswer()
  const drained = drain('--home', home)
  // The port is free while the old gateway still finishes.
  const port = Number(new URL(url).port)
  const server = await eventually(() => listen(port))
  const dialled = once(server, 'connection')
  await dialled
  server.close()
  expect((await answer.rest()).at(-1)).toBe('[DONE]')
  expect(await drained).toMatchObject({
    code: 0,
    stdout: 'The gateway finished all requests and ended.\n',
  })
  expect(await gateway.exited()).toBe(0)
  expect(backend.child.exitCode).toBeNull()
})

test('it ends `burrow up` with its backend', async () => {
  const burrow = await RunningBurrow.start()
  const answer = new SseReader(await burrow.chatStream('count from 1 to 200'))
  await answer.next()
  const drained = drain('--home', burrow.home)
  expect((await answer.rest()).at(-1)).toBe('[DONE]')
  expect((await drained).code).toBe(0)
  expect(await burrow.process.exited()).toBe(0)
  expect(existsSync(join(burrow.home, 'control.sock'))).toBe(false)
  burrow.admin.close()
  removeFolder(burrow.home)
})

test('mistakes are told', async () => {
  expect(await drain('--home', tempFolder(), 'box')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no gateway runs in'),
  })
})

const listen = async (port: number): Promise<Server | null> => {
  const server = createServer((socket) => socket.destroy())
  const { promise, resolve } = Promise.withResolvers<Server | null>()
  server.on('error', () => resolve(null))
  server.listen(port, '127.0.0.1', () => resolve(server))
  return promise
}
