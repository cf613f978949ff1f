// A gateway in a process of its own, for tests that kill it: home, port and whether it is the first there.
import { startGateway } from '../../gateway/node.ts'
import { silentLog } from '../support/silent-log.ts'

export type KillableGateway = {
  readonly url: string
  /** Of the first start only. */
  readonly key?: string
  readonly token?: string
}

const [home = '', port = '0', isFirst] = process.argv.slice(2)
process.on('disconnect', () => process.exit(1))
const gateway = await startGateway(
  { host: '127.0.0.1', port: Number(port), home },
  { log: silentLog },
)
const started: KillableGateway = {
  url: gateway.url,
  ...(isFirst && {
    key: (await gateway.admin.createKey('test')).secret.reveal(),
    token: (await gateway.admin.enrollBackend('gpu')).token.reveal(),
  }),
}
process.send?.(started)
