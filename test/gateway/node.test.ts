import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, rename, stat } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openAdmin } from '../../gateway/control/open-admin.ts'
import { RemoteAdmin } from '../../gateway/control/remote-admin.ts'
import { startGateway } from '../../gateway/node.ts'
import { lineLog } from '../../shared/log.ts'
import { silentLog } from '../support/silent-log.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { connectBackend } from './test-backend.ts'
import { testGateway } from './test-gateway.ts'

const log = silentLog
const at = (home: string, port = 0) => ({ host: '127.0.0.1', port, home })
const chat = '/v1/chat/completions'

/** Streams `data: a`, then what `say` is called with; ends after `[DONE]`. */
const talking = () => {
  const ready = Promise.withResolvers<(text: string) => void>()
  const handler = async () => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        const say = (text: string) => {
          controller.enqueue(new TextEncoder().encode(`data: ${text}\n\n`))
          if (text === '[DONE]') controller.close()
        }
        say('a')
        ready.resolve(say)
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }
  return { handler, ready: ready.promise }
}

test('it makes its home for its owner alone, and refuses one that others can enter', async () => {
  const home = join(tempFolder(), 'deep', 'home')
  const gateway = await startGateway(at(home), { log })
  await gateway.close()

  expect((await stat(home)).mode & 0o777).toBe(0o700)
  await chmod(home, 0o750)
  await expect(startGateway(at(home), { log })).rejects.toThrow(`run chmod 700 ${home}`)
})

test('a taken port is told with the way out, and nothing is left open', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void other.close())
  await once(other, 'listening')
  const address = other.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const home = tempFolder()

  await expect(startGateway(at(home, port), { log })).rejects.toThrow(
    `port ${port} is taken: another program listens on 127.0.0.1:${port}; choose another with --port`,
  )
  await (await startGateway(at(home), { log })).close()
})

test('two gateways do not share a home', async () => {
  const gateway = await testGateway()

  await expect(startGateway(at(gateway.home), { log })).rejects.toThrow(
    `another gateway is running in ${gateway.home}: stop it first, or choose another --home`,
  )
  expect((await fetch(`${gateway.url}/health`)).status).toBe(200)
  const admin = await openAdmin(gateway.home)
  expect(await admin.listKeys()).toHaveLength(1)
})

test('what a killed gateway left behind does not hinder the next, and its keys still work', async () => {
  const home = tempFolder()
  const program = `
    const { startGateway } = await import(${JSON.stringify(new URL('../../gateway/node.ts', import.meta.url).href)})
    const { lineLog } = await import(${JSON.stringify(new URL('../../shared/log.ts', import.meta.url).href)})
    const gateway = await startGateway(
      ${JSON.stringify(at(home))}, { log: lineLog(() => {}) })
    console.log((await gateway.admin.createKey('a')).secret.reveal())`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [secret] = await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')

  expect((await stat(join(home, 'control.sock'))).isSocket()).toBe(true)
  const offline = await openAdmin(home)
  expect(await offline.listKeys()).toHaveLength(1)
  offline.close()
  const gateway = await startGateway(at(home), { log })
  onTestFinished(() => gateway.close())
  const online = await openAdmin(home)
  expect(online).toBeInstanceOf(RemoteAdmin)
  const response = await fetch(`${gateway.url}/v1/models`, {
    headers: { authorization: `Bearer ${String(secret).trim()}` },
  })
  expect(response.status).toBe(200)
})

test('a lost pepper is said aloud at the start', async () => {
  const home = tempFolder()
  const first = await startGateway(at(home), { log })
  await first.admin.createKey('a')
  await first.close()
  await rename(join(home, 'pepper'), join(home, 'elsewhere'))
  const logged: string[] = []
  const second = await startGateway(at(home), { log: lineLog((line) => logged.push(line)) })
  await second.close()

  expect(logged.join('\n')).toMatch(/keys of another pepper do not work.* keys=1/)
})

test('a drain lets a stream finish, refuses what is new, and then closes all', async () => {
  const gateway = await testGateway()
  const { handler, ready } = talking()
  const backend = await connectBackend(gateway.url, gateway.token, handler)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  onTestFinished(() => agent.destroy())
  const health = () =>
    new Promise<number | undefined>((resolve, reject) => {
      const outgoing = request(`${gateway.url}/health`, { agent }, (incoming) => {
        incoming.resume().on('end', () => resolve(incoming.statusCode))
      })
      outgoing.on('error', reject).end()
    })
  const answer = await gateway.post(chat, { model: 'tiger', stream: true })
  const say = await ready
  // Two requests on one connection: the second comes while it drains, before it was idle.
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  socket.write('GET /health HTTP/1.1\r\nHost: a\r\nX-Half: ')
  await health()
  const drained = gateway.drain()
  socket.write('b\r\n\r\n')
  const [refusal] = await once(socket, 'data')

  expect(String(refusal)).toMatch(/^HTTP\/1.1 503 [^]*connection: close/i)
  await expect(health()).rejects.toThrow(/ECONNREFUSED|ECONNRESET|hang up/)
  say('b')
  say('[DONE]')
  expect(await answer.text()).toBe('data: a\n\ndata: b\n\ndata: [DONE]\n\n')
  await drained
  expect(await backend.closed).toMatchObject({ code: 1001 })
  expect(await gateway.usage(1)).toMatchObject([{ outcome: 'completed' }])
  await gateway.drain()
  await gateway.close()
})

test('at the end of the grace a stream gets an error, and its use is in the books', async () => {
  const gateway = await testGateway()
  const { handler, ready } = talking()
  await connectBackend(gateway.url, gateway.token, async (_, exchange) => {
    exchange.reportUsage({ promptTokens: 1, completionTokens: 5 })
    return handler()
  })
  const answer = await gateway.post(chat, { model: 'tiger', stream: true })
  await ready
  await gateway.drain(50)

  expect(await answer.text()).toBe(
    'data: a\n\ndata: {"error":{"message":"The gateway is shutting down.",' +
      '"type":"service_unavailable_error","param":null,"code":"gateway_draining"}}\n\n',
  )
  expect(await gateway.usage(1)).toMatchObject([
    { outcome: 'cancelled', completion_tokens: 5, tokens_source: 'reported' },
  ])
})

test('close hurries a drain on', async () => {
  const gateway = await testGateway()
  const { handler, ready } = talking()
  await connectBackend(gateway.url, gateway.token, handler)
  const answer = await gateway.post(chat, { model: 'tiger', stream: true })
  await ready
  // Far longer than this test may take.
  const drained = gateway.drain(600_000)
  await gateway.close()
  await drained

  expect(await answer.text()).toContain('gateway_draining')
})

test('an upgrade that is not the tunnel’s is a plain request', async () => {
  const { url } = await testGateway()
  const ask = (head: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(head))
      socket.once('data', (chunk) => {
        resolve(String(chunk).split('\r\n', 1)[0] ?? '')
        socket.destroy()
      })
      socket.on('error', reject)
    })

  expect(
    await ask('GET /health HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'),
  ).toBe('HTTP/1.1 200 OK')
  expect(
    await ask('GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
  ).toBe('HTTP/1.1 404 Not Found')
  expect(await ask('GET /tunnel HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('HTTP/1.1 404 Not Found')
})
