// A backend in a process of its own, for tests that kill it. Its requests say what becomes of them.
import { setTimeout as sleep } from 'node:timers/promises'
import { dial } from '../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../backend/tunnel/login.ts'
import { TokenMint } from '../../backend/tunnel/token.ts'
import { silentLog } from '../support/silent-log.ts'

export type FromKillable = 'connected' | 'begun' | 'draining'

const say = (word: FromKillable) => process.send?.(word)

const events = () =>
  new ReadableStream<Uint8Array>({
    async pull(controller) {
      await sleep(2)
      controller.enqueue(new TextEncoder().encode('data: {"text":"x"}\n\n'))
    },
  })

const tunnel = dial({
  url: process.env['TUNNEL_URL'] ?? '',
  login: tokenLogin(new TokenMint({ enrolmentSecret: process.env['TUNNEL_TOKEN'] ?? '' })),
  models: ['tiger'],
  log: silentLog,
  handler: async (request, exchange) => {
    const { act }: { act?: string } = JSON.parse(await request.text())
    exchange.reportUsage({ promptTokens: 7, completionTokens: 1 })
    say('begun')
    if (act === 'hang') await new Promise(() => {})
    if (act === 'stream') {
      return new Response(events(), { headers: { 'content-type': 'text/event-stream' } })
    }
    return new Response('{}', { headers: { 'content-type': 'application/json' } })
  },
})
process.on('disconnect', () => process.exit(1))
process.on('SIGTERM', () => {
  void tunnel.close().then(() => process.exit(0))
  say('draining')
})
await tunnel.connected
say('connected')
