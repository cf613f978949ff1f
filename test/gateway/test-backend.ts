/** A small backend over a real tunnel: a handler of the test's own behind a WebSocket. */
import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { TokenMint } from '../../backend/tunnel/token.ts'
import type { Credential } from '../../gateway/auth/credential.ts'
import { silentLog } from '../support/silent-log.ts'
import { BackendSession } from '../../shared/tunnel/backend-session.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { protocolName, tunnelPath } from '../../shared/tunnel/handshake.ts'
import { limits } from '../../shared/tunnel/limits.ts'
import { feedSession, socketTransport } from '../../shared/tunnel/socket-transport.ts'

export type TestBackend = {
  /** Resolves when the tunnel has ended. */
  readonly closed: BackendSession['closed']
  /** Cuts the connection as a crash would. */
  crash(): void
}

export type TestBackendOptions = {
  readonly models?: readonly string[]
  readonly maxStreams?: number
}

/** Connects and waits until the gateway has let it in. */
export const connectBackend = async (
  gatewayUrl: string,
  secret: Credential,
  handler: TunnelHandler,
  { models = ['tiger'], maxStreams = limits.streams }: TestBackendOptions = {},
): Promise<TestBackend> => {
  const token = await new TokenMint({ enrolmentSecret: secret.reveal() }).mint()
  const socket = new WebSocket(gatewayUrl.replace('http', 'ws') + tunnelPath, [protocolName], {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
  })
  onTestFinished(() => socket.terminate())
  await once(socket, 'open')
  const welcome = Promise.withResolvers<void>()
  const session = new BackendSession(socketTransport(socket), {
    log: silentLog,
    hello: {
      instanceId: crypto.randomUUID(),
      generation: 1,
      models,
      connectionIndex: 0,
      services: [],
      capabilities: [],
      connectionWindowBytes: limits.requestConnectionWindowBytes,
      maxStreams,
      windowBytes: limits.requestWindowBytes,
    },
    handler,
    onWelcome: () => welcome.resolve(),
  })
  feedSession(socket, session)
  await welcome.promise
  return { closed: session.closed, crash: () => socket.terminate() }
}
