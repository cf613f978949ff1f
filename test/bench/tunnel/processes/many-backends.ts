/** Many backends in one process, for a gateway in another. */
import { dial } from '../../../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../../../backend/tunnel/login.ts'
import { TokenMint } from '../../../../backend/tunnel/token.ts'
import { silentLog } from '../../../support/silent-log.ts'
import { childSettings, ready } from './child-port.ts'

export type ManyBackendsSettings = {
  readonly port: number
  readonly tokens: readonly string[]
}

const { port, tokens } = childSettings<ManyBackendsSettings>()

const start = (token: string) =>
  dial({
    url: `ws://127.0.0.1:${port}/tunnel`,
    login: tokenLogin(new TokenMint({ enrolmentSecret: token })),
    models: ['bench'],
    handler: async () => new Response('ok'),
    log: silentLog,
  })

process.on('message', (message) => {
  if (typeof message !== 'object' || message === null || !('cycles' in message)) return
  // Each backend comes and goes so many times.
  const cycles = Number(message.cycles)
  const cycle = async (token: string) => {
    for (let i = 0; i < cycles; i++) {
      const tunnel = start(token)
      await tunnel.connected
      await tunnel.close(0)
    }
  }
  void Promise.all(tokens.map(cycle)).then(() => process.send?.('done'))
})

process.on('message', (message) => {
  if (message === 'stay') {
    for (const token of tokens) start(token)
    process.send?.('done')
  }
})
ready({})
