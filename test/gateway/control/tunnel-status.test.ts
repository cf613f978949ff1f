import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { askRunningBackends } from '../../../backend/control/ask-running.ts'
import { listenControl } from '../../../backend/control/listen.ts'
import { dial } from '../../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../../backend/tunnel/login.ts'
import { TokenMint } from '../../../backend/tunnel/token.ts'
import { controlSocketPath } from '../../../gateway/control/socket-path.ts'
import { tunnelCommand } from '../../../gateway/control/tunnel-command.ts'
import { prometheusType } from '../../../shared/prometheus.ts'
import { eventually } from '../../support/eventually.ts'
import { samplesOf } from '../../support/scraped.ts'
import { silentLog } from '../../support/silent-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { testGateway } from '../test-gateway.ts'

const status = (home: string, flags: Record<string, string> = {}) =>
  tunnelCommand(['status'], { home, ...flags }, {}, askRunningBackends)

const dialled = async (url: string, token: string) => {
  const tunnel = dial({
    url: `${url.replace('http', 'ws')}/tunnel`,
    login: tokenLogin(new TokenMint({ enrolmentSecret: token })),
    models: ['tiger'],
    handler: async () => new Response('ok'),
    log: silentLog,
    connections: 2,
    spacingMs: 1,
    random: () => 0,
  })
  onTestFinished(() => tunnel.close(0))
  return tunnel
}

/** As a backend's process does. */
const listening = async (home: string, tunnel: Awaited<ReturnType<typeof dialled>>) => {
  const listener = await listenControl({
    home,
    pid: process.pid,
    log: silentLog,
    drain: async () => ({ cut: 0 }),
    report: () => tunnel.report(),
    metrics: () => 'up 1\n',
  })
  onTestFinished(() => listener.close())
}

const get = (socketPath: string, path: string) => {
  const { promise, resolve, reject } = Promise.withResolvers<{ type: unknown; body: string }>()
  const outgoing = request({ socketPath, path, agent: false }, (incoming) => {
    const type = incoming.headers['content-type']
    text(incoming).then((body) => resolve({ type, body }), reject)
  })
  outgoing.on('error', reject)
  outgoing.end()
  return promise
}

describe('burrow tunnel status', () => {
  test('says that nothing runs, and what to give', async () => {
    await expect(status(tempFolder())).rejects.toThrow(/nothing runs in .+: give the --home/)
    await expect(tunnelCommand([], {}, {}, askRunningBackends)).rejects.toThrow('takes status')
  })

  test('shows each connection at the gateway, and none when there is none', async () => {
    const gateway = await testGateway()
    expect(await status(gateway.home)).toBe('The gateway runs. No backend is connected.')
    const tunnel = await dialled(gateway.url, gateway.token.reveal())
    await eventually(() => tunnel.report()[0]?.connections.length === 2)
    const [head = '', ...rows] = (await status(gateway.home)).split('\n')
    expect(head.split(/ {2,}/).slice(0, 4)).toEqual([
      'backend',
      'connection',
      'generation',
      'state',
    ])
    expect(rows.map((row) => row.split(/ {2,}/).slice(0, 4))).toEqual([
      ['gpu', '0', '1', 'ready'],
      ['gpu', '1', '2', 'ready'],
    ])
    const json = JSON.parse(await status(gateway.home, { json: 'true' }))
    expect(json).toMatchObject({
      backends: [],
      gateway: { backends: [{ name: 'gpu', connections: [{ generation: 1 }, { generation: 2 }] }] },
    })
  })

  test('shows the gateways at the backend, and why one of them is away', async () => {
    const gateway = await testGateway()
    const home = tempFolder()
    const tunnel = await dialled(gateway.url, gateway.token.reveal())
    await listening(home, tunnel)
    await eventually(() => tunnel.report()[0]?.connections.length === 2)
    const { host } = new URL(gateway.url)
    const lines = (await status(home)).split('\n')
    expect(lines[0]).toBe(`Backend, process ${process.pid}`)
    expect(lines[1]).toMatch(/^gateway +connection/)
    expect(lines.slice(2).map((line) => line.split(/ {2,}/)[0])).toEqual([host, host])

    await gateway.close()
    const away = await eventually(async () => {
      const said = await status(home)
      return said.includes('ECONNREFUSED') && said
    })
    expect(away).toMatch(`Not connected to ${host}: `)
  })

  test('shows a drained backend as draining', async () => {
    const gateway = await testGateway()
    const tunnel = await dialled(gateway.url, gateway.token.reveal())
    await tunnel.connected
    await new Promise<void>((resolve, reject) => {
      const socketPath = controlSocketPath(gateway.home)
      const path = '/drain/gpu?timeoutMs=0'
      const asked = request({ socketPath, path, method: 'POST', agent: false }, (incoming) => {
        incoming.resume().on('end', resolve)
      })
      asked.on('error', reject).end()
    })
    expect(await status(gateway.home)).toContain('draining')
  })
})

test('metrics are for whoever owns the data directory, not for the public', async () => {
  const gateway = await testGateway()
  for (const path of ['/metrics', '/admin/metrics', '/tunnel/metrics']) {
    expect((await fetch(gateway.url + path)).status).toBe(404)
  }
  const tunnel = await dialled(gateway.url, gateway.token.reveal())
  await eventually(() => tunnel.report()[0]?.connections.length === 2)
  const { type, body } = await get(controlSocketPath(gateway.home), '/metrics')
  expect(type).toBe(prometheusType)
  expect(samplesOf(body, 'connections', 'connects_total')).toMatchObject({
    'connections{backend="gpu",state="ready"}': 2,
    'connects_total{backend="gpu"}': 2,
  })
})
