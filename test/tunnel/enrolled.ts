/** A gateway that lets backends in by what its real database says of them. */
import { createSecretKey } from 'node:crypto'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { BackendLogin } from '../../gateway/auth/backend-login.ts'
import { DatabaseAdmin } from '../../gateway/control/database-admin.ts'
import { openDatabase } from '../../gateway/db/open.ts'
import { TunnelKey } from '../../shared/auth/tunnel-key.ts'
import { tempFolder } from '../support/temp-folder.ts'
import type { TestGateway, TestGatewayOptions } from '../support/tunnel-pair.ts'
import { gatewayFor } from './for-one-test.ts'

export type EnrolledGateway = TestGateway & {
  readonly admin: DatabaseAdmin
  readonly login: BackendLogin
}

export type EnrolledGatewayOptions = Omit<TestGatewayOptions, 'login'> & {
  readonly tunnelKeys?: readonly string[]
  /** Stands between the gateway and its look-ups. */
  readonly wrapLogin?: (login: BackendLogin, admin: DatabaseAdmin) => TestGatewayOptions['login']
}

export const tunnelKey = (text: string): TunnelKey => {
  const key = TunnelKey.parse(text)
  if (!key) throw new Error(`${text} is no tunnel key`)
  return key
}

export const enrolledGateway = async ({
  tunnelKeys = [],
  wrapLogin = (login) => login,
  timing,
  now = Date.now,
  ...options
}: EnrolledGatewayOptions = {}): Promise<EnrolledGateway> => {
  const { db, close } = await openDatabase(join(tempFolder(), 'burrow.db'))
  onTestFinished(close)
  let gateway: TestGateway | undefined
  const admin = new DatabaseAdmin({
    db,
    pepper: { version: 'test', key: createSecretKey(new Uint8Array(32)) },
    now,
    gateway: {
      keyRevoked: () => {},
      backendLoginRevoked: (id) => gateway?.registry.disconnect(id, 'the backend was revoked'),
      grantRevoked: () => {},
      connected: () => gateway?.registry.backends() ?? [],
    },
    linkOf: () => null,
    onClose: () => {},
  })
  const login = new BackendLogin({ db, tunnelKeys: tunnelKeys.map(tunnelKey), now })
  const wrapped = wrapLogin(login, admin)
  gateway = await gatewayFor(timing, { ...options, now, ...(wrapped && { login: wrapped }) })
  return { ...gateway, admin, login }
}
