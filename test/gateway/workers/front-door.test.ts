import { env, exports } from 'cloudflare:workers'
import { expect, test } from 'vitest'

test('x', async () => {
  const r = await exports.default.fetch('https://gateway.example/health')
  expect([r.status, await r.text()]).toEqual([200, '{"status":"ok","backends":0}'])
  const t = await exports.default.fetch('https://gateway.example/nope')
  expect([t.status, await t.text(), [...t.headers]]).toEqual(1)
  void env
})
