import { request } from 'node:http'
import { expect, test } from 'vitest'
import { answering, auth, chat, errorOf } from './forwarding.ts'
import { connectBackend } from './test-backend.ts'
import { testGateway } from './test-gateway.ts'

test('what is turned down before the tunnel leaves no usage record', async () => {
  const gateway = await testGateway()
  const offline = await errorOf(await gateway.post(chat, { model: 'tiger' }))
  await connectBackend(gateway.url, gateway.token, answering('{}'))
  const unknown = await errorOf(await gateway.post(chat, { model: 'lion' }))
  const refused = await Promise.all(
    ['{"model":', '[]', '{}', '{"model":7}', '{"model":""}', '', '"a"', 'null'].map(
      async (body) => {
        const response = await gateway.post(chat, null, { body, headers: auth(gateway) })
        const { status, param } = await errorOf(response)
        return { body, status, param }
      },
    ),
  )
  const hostile = await gateway.post(chat, null, {
    body: '{"__proto__":{"model":"tiger"}}',
    headers: auth(gateway),
  })
  const deep = await gateway.post(chat, null, {
    body: '['.repeat(1_000_000),
    headers: auth(gateway),
  })
  const large = await gateway.post(chat, null, {
    body: new Uint8Array(8 * 1024 * 1024 + 1),
    headers: auth(gateway),
  })
  const stranger = await gateway.post(chat, { model: 'tiger' }, { headers: {} })

  expect(offline).toEqual({
    status: 503,
    retryAfter: '5',
    shouldRetry: null,
    message: 'No backend is connected at the moment. Please try again shortly.',
    type: 'service_unavailable_error',
    param: null,
    code: 'no_backend_online',
  })
  expect(unknown).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' })
  expect(refused).toEqual([
    { body: '{"model":', status: 400, param: null },
    { body: '[]', status: 400, param: null },
    { body: '{}', status: 400, param: 'model' },
    { body: '{"model":7}', status: 400, param: 'model' },
    { body: '{"model":""}', status: 400, param: 'model' },
    { body: '', status: 400, param: null },
    { body: '"a"', status: 400, param: null },
    { body: 'null', status: 400, param: null },
  ])
  expect([hostile.status, deep.status, stranger.status]).toEqual([400, 400, 401])
  expect(await errorOf(large)).toMatchObject({ status: 413, code: 'request_too_large' })
  await gateway.post(chat, { model: 'tiger' })
  expect(await gateway.usage(1)).toHaveLength(1)
})

test('a body that never says its length is counted as it comes', async () => {
  const gateway = await testGateway()
  await connectBackend(gateway.url, gateway.token, answering('{}'))
  const status = await new Promise((resolve, reject) => {
    const outgoing = request(gateway.url + chat, { method: 'POST', headers: auth(gateway) })
    outgoing.on('response', (incoming) => resolve(incoming.statusCode)).on('error', reject)
    const chunk = Buffer.alloc(1024 * 1024, ' ')
    for (let i = 0; i < 9; i++) outgoing.write(chunk)
    outgoing.end()
  })

  expect(status).toBe(413)
})
