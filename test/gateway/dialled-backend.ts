/** A backend that dials the gateway, and dials again, as a real one does. */
import { onTestFinished } from 'vitest'
import { dial, type DialOptions, type Tunnel } from '../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../backend/tunnel/login.ts'
import { TokenMint } from '../../backend/tunnel/token.ts'
import type { Credential } from '../../gateway/auth/credential.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { tunnelPath } from '../../shared/tunnel/handshake.ts'
import { silentLog } from '../support/silent-log.ts'

export type Dialled = {
  readonly port: number
  readonly token: Credential
  readonly handler: TunnelHandler
} & Pick<DialOptions, 'timing'>

/** Dials and waits until the gateway has let it in. It serves `tiger`. */
export const dialBackend = async ({ port, token, ...options }: Dialled): Promise<Tunnel> => {
  const tunnel = dial({
    url: `ws://127.0.0.1:${port}${tunnelPath}`,
    login: tokenLogin(new TokenMint({ enrolmentSecret: token.reveal() })),
    models: ['tiger'],
    log: silentLog,
    random: () => 0.05,
    ...options,
  })
  onTestFinished(() => tunnel.close(0))
  await tunnel.connected
  return tunnel
}
