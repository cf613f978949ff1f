import { expect, test } from 'vitest'
import { appWith, say } from './routes/test-app.ts'

test('the model list has the served name where a path could leak', async () => {
  const { app } = appWith(say('x'))
  const list = await app.request('/v1/models')
  expect(await list.json()).toMatchObject({
    object: 'list',
    data: [{ id: 'tiger', root: 'tiger', parent: null }],
  })
  expect((await app.request('/v1/models/tiger')).status).toBe(200)
  expect((await app.request('/v1/models/other')).status).toBe(404)
})

test('an unlisted route is 404 in the shape of OpenAI', async () => {
  const { app } = appWith(say('x'))
  const response = await app.request('/v1/files')
  expect({ status: response.status, body: await response.json() }).toEqual({
    status: 404,
    body: {
      error: {
        message: 'Unknown route: GET /v1/files.',
        type: 'invalid_request_error',
        param: null,
        code: null,
      },
    },
  })
})
