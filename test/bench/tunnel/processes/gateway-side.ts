/** Burrow's gateway as an operator runs it, with one key and one backend enrolled. */
import { rmSync } from 'node:fs'
import { startGateway } from '../../../../gateway/node.ts'
import { silentLog } from '../../../support/silent-log.ts'
import { makeTempFolder } from '../../../support/temp-folder.ts'
import { childSettings, ready } from './child-port.ts'

export type GatewaySide = {
  readonly port: number
  /** The API key. */
  readonly key: string
  /** One of each backend that may come. */
  readonly backendTokens: readonly string[]
}

export type GatewaySettings = { readonly numBackends?: number }

const { numBackends = 1 } = childSettings<GatewaySettings>()
const home = makeTempFolder()
process.once('exit', () => rmSync(home, { recursive: true, force: true }))
const gateway = await startGateway({ host: '127.0.0.1', port: 0, home }, { log: silentLog })
process.once('SIGTERM', () => void gateway.close().then(() => process.exit(0)))
const { secret } = await gateway.admin.createKey('bench')
const backendTokens: string[] = []
for (let i = 0; i < numBackends; i++) {
  const { token } = await gateway.admin.enrollBackend(`bench-${i}`)
  backendTokens.push(token.reveal())
}
const details: GatewaySide = {
  port: Number(new URL(gateway.url).port),
  key: secret.reveal(),
  backendTokens,
}
ready(details)
