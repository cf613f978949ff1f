import { once } from 'node:events'
import { createHash } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { eventually } from '../support/eventually.ts'
import { exposeNotebook, rawRequest } from './exposed.ts'

const bearer = (secret: { reveal(): string }) => ({ authorization: `Bearer ${secret.reveal()}` })

const openSocket = (url: string, headers: Record<string, string>) => {
  const socket = new WebSocket(url, { headers })
  socket.on('error', () => {})
  onTestFinished(() => socket.terminate())
  return socket
}

test('a link lets a browser in by a cookie, and shows its secret to nobody', async () => {
  const { origin, grant, service, logged } = await exposeNotebook()
  const { link, secret } = await grant('notebook')
  expect(link).toBe(`${origin}/.burrow/enter?grant=${secret.reveal()}`)

  const entered = await fetch(link ?? '', { redirect: 'manual' })
  expect(entered.status).toBe(303)
  expect(entered.headers.get('location')).toBe('/')
  expect(entered.headers.get('referrer-policy')).toBe('no-referrer')
  const cookie = entered.headers.get('set-cookie') ?? ''
  expect(cookie).toMatch(
    /^burrow-service-notebook=brs_\w+; Path=\/; HttpOnly; SameSite=Lax; Max-Age=\d+$/,
  )

  const pair = cookie.split(';', 1)[0] ?? ''
  const page = await fetch(`${origin}/tree?x=1`, { headers: { cookie: `a=b; ${pair}; c=d` } })
  expect(await page.json()).toEqual({ method: 'GET', url: '/tree?x=1', bytes: 0 })
  expect(service.seen[0]?.headers.cookie).toBe('a=b; c=d')
  // Its own cookies, for its own host; none of the gateway's.
  expect(page.headers.getSetCookie()).toEqual(['theme=dark; Path=/', 'tab=1'])
  expect(logged.join('\n')).not.toContain(secret.reveal())
})

test('nobody comes in without a grant, and nothing reaches the service', async () => {
  const { origin, grant, service, gateway } = await exposeNotebook()
  const { secret: forGrafana } = await grant('grafana')
  const { secret: key } = await gateway.admin.createKey('api')
  const { grant: old, secret: revoked } = await grant('notebook')
  await gateway.admin.grants.revokeGrant(old.id)
  const { secret: expired } = await grant('notebook', 1)
  await new Promise((resolve) => setTimeout(resolve, 5))

  const attempts: Record<string, string>[] = [
    {},
    bearer(forGrafana),
    bearer(key),
    bearer(revoked),
    bearer(expired),
    { cookie: `burrow-service-notebook=${forGrafana.reveal()}` },
    { cookie: `burrow-service-grafana=${forGrafana.reveal()}` },
  ]
  for (const headers of attempts) {
    const refused = await fetch(`${origin}/tree`, { headers })
    expect(refused.status).toBe(401)
    expect(await refused.text()).toContain('not public')
  }
  const page = await fetch(`${origin}/tree`, { headers: { accept: 'text/html' } })
  expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect((await fetch(`${origin}/.burrow/enter?grant=x`)).status).toBe(401)
  expect((await fetch(`${origin}/.burrow/other`)).status).toBe(404)
  expect(service.seen).toEqual([])
})

test('programs show the grant as a bearer token, which the service does not see; its own it does', async () => {
  const { origin, grant, service } = await exposeNotebook()
  const { secret } = await grant('notebook')
  await fetch(`${origin}/a`, { headers: { ...bearer(secret), 'x-forwarded-for': '6.6.6.6' } })
  const { headers } = service.seen[0] ?? {}
  expect(headers?.authorization).toBe(undefined)
  expect(headers?.host).toBe(service.url.host)
  expect(headers?.['x-forwarded-host']).toBe(new URL(origin).host)
  expect(headers?.['x-forwarded-for']).toBe('127.0.0.1')

  await fetch(`${origin}/b`, {
    headers: {
      authorization: 'token of-the-notebook',
      cookie: `burrow-service-notebook=${secret.reveal()}`,
    },
  })
  expect(service.seen[1]?.headers).toMatchObject({ authorization: 'token of-the-notebook' })
  expect(service.seen[1]?.headers.cookie).toBe(undefined)
})

test('ten MiB pass up and down unchanged', async () => {
  const { origin, grant, service } = await exposeNotebook()
  const { secret } = await grant('notebook')
  const up = Buffer.alloc(10 * 1024 * 1024, 'burrow ')
  const stored = await fetch(`${origin}/upload`, {
    method: 'PUT',
    headers: bearer(secret),
    body: up,
  })
  expect(await stored.json()).toEqual({ method: 'PUT', url: '/upload', bytes: up.length })
  expect(service.seen[0]?.body.equals(up)).toBe(true)

  const down = await (await fetch(`${origin}/big`, { headers: bearer(secret) })).bytes()
  const hash = createHash('sha256')
  for (let i = 0; i < 160; i++) hash.update(Buffer.alloc(65_536, i))
  expect(createHash('sha256').update(down).digest('hex')).toBe(hash.digest('hex'))
})

test('a WebSocket goes both ways, until its grant is revoked', async () => {
  const { origin, grant, service, gateway } = await exposeNotebook()
  const { grant: own, secret } = await grant('notebook')
  const socket = openSocket(`${origin.replace('http', 'ws')}/kernel`, bearer(secret))
  await once(socket, 'open')
  socket.send('hello')
  expect(String((await once(socket, 'message'))[0])).toBe('hello')
  const big = Buffer.alloc(300_000, 7)
  socket.send(big)
  expect(big.equals((await once(socket, 'message'))[0])).toBe(true)

  const closed = once(socket, 'close')
  await gateway.admin.grants.revokeGrant(own.id)
  await closed
  await eventually(() => service.sockets.clients.size === 0)
})

test('either end closes a WebSocket for the other', async () => {
  const { origin, grant, service } = await exposeNotebook()
  const { secret } = await grant('notebook')
  const url = `${origin.replace('http', 'ws')}/kernel`
  const first = openSocket(url, bearer(secret))
  await once(first, 'open')
  first.close(4000, 'bye')
  expect((await once(first, 'close'))[0]).toBe(4000)
  await eventually(() => service.sockets.clients.size === 0)

  const second = openSocket(url, bearer(secret))
  await once(second, 'open')
  const closed = once(second, 'close')
  for (const client of service.sockets.clients) client.terminate()
  expect((await closed)[0]).toBe(1006)
})

test('a running stream ends when its grant is revoked or runs out', async () => {
  const { origin, grant, gateway } = await exposeNotebook()
  const { grant: own, secret } = await grant('notebook')
  const { secret: brief } = await grant('notebook', 400)
  const bodies = await Promise.all(
    [secret, brief].map(async (shown) => {
      const response = await fetch(`${origin}/events`, { headers: bearer(shown) })
      const reader = response.body?.getReader()
      await reader?.read()
      return reader
    }),
  )
  await gateway.admin.grants.revokeGrant(own.id)
  for (const reader of bodies) await expect(reader?.read()).rejects.toThrow()
})

test("another site's pages use no cookie of ours to change or to listen", async () => {
  const { origin, grant, service } = await exposeNotebook()
  const { secret } = await grant('notebook')
  const cookie = `burrow-service-notebook=${secret.reveal()}`
  const foreign = { cookie, origin: 'http://evil.test' }
  expect((await fetch(`${origin}/x`, { method: 'POST', headers: foreign })).status).toBe(403)
  const site = { cookie, 'sec-fetch-site': 'same-site' }
  expect((await fetch(`${origin}/x`, { method: 'DELETE', headers: site })).status).toBe(403)
  const socket = openSocket(`${origin.replace('http', 'ws')}/kernel`, foreign)
  expect(String((await once(socket, 'error'))[0])).toContain('403')
  expect(service.seen).toEqual([])

  const own = await fetch(`${origin}/x`, { method: 'POST', headers: { cookie, origin } })
  expect(own.status).toBe(200)
})

test('by its host name, and only by it: the API is no service and a service no API', async () => {
  const { grant, gateway, service } = await exposeNotebook()
  const { secret, link } = await grant('grafana')
  expect(link).toMatch(/^http:\/\/grafana\.apps\.test\/\.burrow\/enter\?grant=brs_/)
  const port = Number(new URL(gateway.url).port)
  const ask = (host: string, path = '/health') =>
    rawRequest(port, { path, headers: { host, ...bearer(secret) } })

  expect(JSON.parse((await ask('grafana.apps.test:8080')).text)).toMatchObject({ url: '/health' })
  expect(JSON.parse((await ask('GRAFANA.apps.test')).text)).toMatchObject({ url: '/health' })
  expect((await ask('notebook.apps.test')).status).toBe(401)
  expect((await ask('a.b.apps.test')).status).toBe(401)
  expect((await ask('.apps.test')).status).toBe(401)
  // The gateway's own answer: its health.
  expect(JSON.parse((await ask('apps.test')).text)).toMatchObject({ status: 'ok' })
  expect(service.seen).toHaveLength(2)
})

test('no path, host or form of a request leads elsewhere: it is no open proxy', async () => {
  const { grant, port, service } = await exposeNotebook()
  const { secret } = await grant('notebook')
  const ask = (path: string, headers: Record<string, string> = {}) =>
    rawRequest(port, { path, headers: { ...bearer(secret), ...headers } })

  expect((await ask('http://127.0.0.1:1/')).status).toBe(400)
  expect((await ask('*')).status).toBe(400)
  for (const path of ['//127.0.0.1:1/x', '/@127.0.0.1:1/', '/..//127.0.0.1:1', '/\\127.0.0.1:1']) {
    expect((await ask(path, { host: '127.0.0.1:1' })).status).toBe(200)
  }
  expect(service.seen.every(({ headers }) => headers.host === service.url.host)).toBe(true)
  expect(service.seen).toHaveLength(4)
  // Too much for the tunnel, though not for Node.
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`x-${i}`, 'y']))
  expect((await ask('/', many)).status).toBe(431)
})

test('a service is told its own origin for the one that it is visited at, and nobody else is', async () => {
  const { origin, grant, service, port } = await exposeNotebook()
  const { secret } = await grant('notebook')
  const cookie = `burrow-service-notebook=${secret.reveal()}`
  const seen = async (headers: Record<string, string>) => {
    await fetch(`${origin}/x`, { method: 'POST', headers: { cookie, ...headers } })
    const { origin: from, referer } = service.seen.at(-1)?.headers ?? {}
    return { from, referer }
  }
  const own = service.url.origin
  expect(await seen({ origin, referer: `${origin}/tree?a=1` })).toEqual({
    from: own,
    referer: `${own}/tree?a=1`,
  })
  const foreign = `http://127.0.0.1:${port}0`
  expect(await seen({ ...bearer(secret), origin: foreign, referer: `${foreign}/` })).toEqual({
    from: foreign,
    referer: `${foreign}/`,
  })
  const socket = openSocket(`${origin.replace('http', 'ws')}/kernel`, { cookie, origin })
  await once(socket, 'open')
  expect(service.seen.at(-1)?.headers.origin).toBe(own)
})

test('a redirect to the address of the service leads to where it is visited', async () => {
  const { origin, grant, service } = await exposeNotebook()
  const { secret } = await grant('notebook')
  const locationOf = async (to: string) => {
    const path = `/moved?to=${encodeURIComponent(to)}`
    const answer = await fetch(origin + path, { headers: bearer(secret), redirect: 'manual' })
    expect(answer.status).toBe(307)
    return answer.headers.get('location')
  }
  expect(await locationOf(`${service.url.origin}/metrics/`)).toBe(`${origin}/metrics/`)
  for (const other of ['/metrics/', `${service.url.origin}0/`, 'https://login.test/?next=/']) {
    expect(await locationOf(other)).toBe(other)
  }
})

test('a GET with a body is turned down, not stripped of it', async () => {
  const { port, grant, service } = await exposeNotebook()
  const { secret } = await grant('notebook')
  const headers = { ...bearer(secret), 'content-length': '5' }
  const refused = await rawRequest(port, { path: '/search', headers, body: 'query' })
  expect(refused.status).toBe(400)
  expect(service.seen).toEqual([])
})

test('only WebSockets are upgraded, and none to the own paths of the gateway', async () => {
  const { port, origin, grant, service } = await exposeNotebook()
  const { secret } = await grant('notebook')
  const asked = { ...bearer(secret), connection: 'upgrade, http2-settings', upgrade: 'h2c' }
  const plain = await rawRequest(port, { path: '/x', headers: asked })
  expect(plain).toMatchObject({ status: 200 })
  const socket = openSocket(`${origin.replace('http', 'ws')}/.burrow/kernel`, bearer(secret))
  expect(String((await once(socket, 'error'))[0])).toContain('404')
  expect(service.seen).toHaveLength(1)
})

test('a gateway that drains lets a download finish, and does not wait for WebSockets', async () => {
  const { origin, grant, gateway } = await exposeNotebook()
  const { secret } = await grant('notebook')
  const socket = openSocket(`${origin.replace('http', 'ws')}/kernel`, bearer(secret))
  await once(socket, 'open')
  const download = await fetch(`${origin}/big`, { headers: bearer(secret) })
  const drained = gateway.drain(10_000)
  expect((await download.bytes()).length).toBe(160 * 65_536)
  await once(socket, 'close')
  expect(await drained).toEqual({ cut: 0 })
})

test('a service that is down is told from one that nobody has', async () => {
  const { grant, gateway } = await exposeNotebook()
  const port = Number(new URL(gateway.url).port)
  const ask = async (name: string) => {
    const { secret } = await grant(name)
    return rawRequest(port, {
      path: '/',
      headers: { host: `${name}.apps.test`, ...bearer(secret) },
    })
  }
  expect(await ask('gone')).toMatchObject({ status: 502 })
  expect(await ask('unknown')).toMatchObject({ status: 503 })
})
