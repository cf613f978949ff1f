/** Sessions under test whose peers are played by hand. */
import { BackendSession, type BackendSessionOptions } from '../../shared/tunnel/backend-session.ts'
import { GatewaySession, type GatewaySessionOptions } from '../../shared/tunnel/gateway-session.ts'
import { silentLog } from './silent-log.ts'
import { helloFrame, welcomeFrame } from './tunnel-frames.ts'
import { RawPeer, testHello, turns } from './tunnel-memory.ts'

/** A gateway session that has heard nothing yet. */
export const rawGateway = (options: Partial<GatewaySessionOptions> = {}) => {
  const peer = new RawPeer()
  const session = new GatewaySession(peer.transport, {
    log: silentLog,
    sessionId: 's',
    onHello: () => {},
    ...options,
  })
  peer.connect(session)
  return { peer, session }
}

/** A gateway session that has let its backend in. */
export const readyGateway = async (options: Partial<GatewaySessionOptions> = {}) => {
  const { peer, session } = rawGateway(options)
  peer.send(helloFrame)
  await turns()
  peer.frames.length = 0
  return { peer, session }
}

/** A backend session that has heard nothing yet. Its handler waits for ever, unless told otherwise. */
export const rawBackend = (options: Partial<BackendSessionOptions> = {}) => {
  const peer = new RawPeer()
  const session = new BackendSession(peer.transport, {
    log: silentLog,
    hello: testHello,
    handler: () => new Promise(() => {}),
    onWelcome: () => {},
    ...options,
  })
  peer.connect(session)
  return { peer, session }
}

/** A backend session that was let in. */
export const readyBackend = async (options: Partial<BackendSessionOptions> = {}) => {
  const { peer, session } = rawBackend(options)
  peer.send(welcomeFrame)
  await turns()
  peer.frames.length = 0
  return { peer, session }
}
