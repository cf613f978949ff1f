/** The gateway on Node: opens what it needs, serves, and goes away in order. */
import { setTimeout as delay } from 'node:timers/promises'
import { ApiError } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import type { Timing } from '../shared/tunnel/limits.ts'
import { ActiveRequests } from './active-requests.ts'
import { createApp } from './app.ts'
import { BackendLogin } from './auth/backend-login.ts'
import { openPepper, type Pepper } from './auth/pepper.ts'
import { ClientAddresses } from './client-address.ts'
import type { GatewayConfig } from './config.ts'
import { createControlApp } from './control/control-app.ts'
import { DatabaseAdmin } from './control/database-admin.ts'
import { listenControl } from './control/listen.ts'
import { countForeignApiKeys } from './db/api-keys.ts'
import type { Database } from './db/database.ts'
import { openDatabase } from './db/open.ts'
import { databasePath, lockHome, openHome, pepperPath } from './home.ts'
import { startHttpServer } from './http-server.ts'
import { revokedKey } from './middleware/authenticate.ts'
import { TunnelAcceptor } from './tunnel/accept.ts'
import { BackendRegistry } from './tunnel/registry.ts'
import { settleLateUsage } from './usage/late-usage.ts'

export type GatewayOptions = {
  readonly log: Log
  /** ms since the epoch. */
  readonly now?: () => number
  /** The tunnel's time limits. */
  readonly timing?: Timing
}

export type Gateway = {
  /** Where a program on this machine reaches it, e.g. `http://127.0.0.1:8080`. */
  readonly url: string
  /** Keys and backends; closed with the gateway. */
  readonly admin: DatabaseAdmin
  /** Takes nothing new, lets what runs finish for up to `graceMs`, then closes. Idempotent. */
  drain(graceMs?: number): Promise<void>
  /** Closes now, cutting what runs and entering it into the books; also hurries a `drain`. */
  close(): Promise<void>
}

export const defaultGraceMs = 30_000

/** For requests cut at the end of the grace: their backends' final counts are under way. */
const finalCountsMs = 2_000

/**
 * Starts a gateway. Fails with what to do when its directory, database or port cannot be had, and
 * leaves nothing open then.
 */
export const startGateway = async (
  config: GatewayConfig,
  options: GatewayOptions,
): Promise<Gateway> => {
  const { home } = config
  const { log, now = Date.now, timing } = options
  await using opening = new AsyncDisposableStack()
  await openHome(home)
  opening.adopt(lockHome(home), (lock) => lock.release())
  const pepper = await openPepper(pepperPath(home))
  const { db } = opening.adopt(await openDatabase(databasePath(home)), (open) => open.close())
  await warnOfForeignKeys(db, pepper, log)

  const active = new ActiveRequests()
  const registry = new BackendRegistry({
    log,
    now,
    settleLateUsage: (backendId, report) =>
      settleLateUsage({ db, pepper, log, now }, backendId, report),
    ...(timing && { timing }),
  })
  opening.defer(() => registry.close())
  const admin = new DatabaseAdmin({
    db,
    pepper,
    now,
    gateway: {
      keyRevoked: (id) => active.revokeKey(id, revokedKey()),
      backendLoginRevoked: (id) => registry.disconnect(id, 'the backend was revoked'),
      connected: () => registry.backends(),
    },
    onClose: () => {},
  })
  opening.adopt(await listenControl(home, createControlApp(admin, log)), (c) => c.close())

  let isDraining = false
  const app = createApp({ db, pepper, registry, active, log, now, isDraining: () => isDraining })
  const tunnels = new TunnelAcceptor({
    registry,
    login: new BackendLogin({ db, tunnelKeys: config.tunnelKeys ?? [], now }),
    addresses: new ClientAddresses(config.trustedProxies),
    log,
    now,
    ...(timing && { timing }),
  })
  const { host, port } = config
  const server = await startHttpServer({ host, port, fetch: app.fetch, tunnels })
  const opened = opening.move()

  const hurry = new AbortController()
  const stop = async (graceMs: number): Promise<void> => {
    isDraining = true
    const finished = Promise.all([server.finish(), active.idle()])
    await waitFor(finished, graceMs, hurry.signal)
    active.abortAll(shuttingDown())
    await waitFor(active.idle(), finalCountsMs)
    registry.close()
    await active.idle()
    await server.close()
    await opened.disposeAsync()
  }
  let stopped: Promise<void> | undefined
  const drain = (graceMs: number = defaultGraceMs): Promise<void> => (stopped ??= stop(graceMs))
  return {
    url: server.url,
    admin,
    drain,
    close: () => {
      hurry.abort()
      return drain(0)
    },
  }
}

/** Happens when the pepper's file was lost and made anew: better said than found out by 401s. */
const warnOfForeignKeys = async (db: Database, pepper: Pepper, log: Log): Promise<void> => {
  const keys = await countForeignApiKeys(db, pepper.version)
  if (keys === 0) return
  log.warn('keys of another pepper do not work: restore its file, or make new ones', { keys })
}

const shuttingDown = (): ApiError =>
  new ApiError(503, 'The gateway is shutting down.', {
    type: 'service_unavailable_error',
    code: 'gateway_draining',
  })

/** Waits for `done`, at most `ms`, and no longer once `hurry` aborts. */
const waitFor = async (done: Promise<unknown>, ms: number, hurry?: AbortSignal): Promise<void> => {
  const over = new AbortController()
  const signal = hurry ? AbortSignal.any([over.signal, hurry]) : over.signal
  const late = delay(ms, undefined, { signal }).catch(() => {})
  await Promise.race([done, late])
  over.abort()
}
