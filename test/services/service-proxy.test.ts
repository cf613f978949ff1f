/** The backend's end of a visit, with services that break the rules or are lied to. */
import { expect, onTestFinished, test } from 'vitest'
import { ServiceProxy } from '../../backend/services/service-proxy.ts'
import type { ServedExchange } from '../../shared/tunnel/exchange.ts'
import { silentLog } from '../support/silent-log.ts'
import { startRawService } from './raw-service.ts'

const exchange: ServedExchange = {
  requestId: 'req_1',
  service: 'raw',
  upgradedBody: null,
  reportUsage: () => {},
  usage: () => {},
}

const proxyTo = (target: URL) => {
  const proxy = new ServiceProxy(new Map([['raw', target]]), silentLog)
  onTestFinished(() => proxy.close())
  return async (path: string, init: RequestInit = {}) => {
    const answer = await proxy.handle('raw', new Request(`http://backend${path}`, init), exchange)
    if (!(answer instanceof Response)) throw new Error('an upgrade')
    return { status: answer.status, headers: answer.headers, text: await answer.text() }
  }
}

test('a status that is none of HTTP fails one request, and not the backend', async () => {
  const target = await startRawService((socket, received) => {
    const status = /^GET \/(\d+) /m.exec(received)?.[1]
    socket.end(`HTTP/1.1 ${status} Odd\r\nContent-Length: 2\r\n\r\nok`)
  })
  const ask = proxyTo(target)
  for (const status of ['600', '999', '099']) expect((await ask(`/${status}`)).status).toBe(502)
  expect(await ask('/299')).toMatchObject({ status: 299, text: 'ok' })
})

test('a request that announces a body and has none leaves no gap for the next one', async () => {
  const answered: string[] = []
  const target = await startRawService((socket, received) => {
    const requests = received.split('\r\n\r\n').slice(0, -1)
    for (const request of requests.slice(answered.length)) {
      answered.push(request)
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    }
  })
  const ask = proxyTo(target)
  await ask('/first', { headers: { 'content-length': '40' } })
  await ask('/second')
  expect(answered).toHaveLength(2)
  expect(answered.join('\n').toLowerCase()).not.toContain('content-length')
})
