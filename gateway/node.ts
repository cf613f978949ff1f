/** The gateway on Node: opens what it needs, serves, and goes away in order. */
import { ApiError } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { defaultDrainSeconds } from '../shared/flags.ts'
import type { Timing } from '../shared/tunnel/limits.ts'
import { ActiveRequests } from './active-requests.ts'
import type { AnswerTiming } from './answer-timing.ts'
import { createApp } from './app.ts'
import { BackendLogin } from './auth/backend-login.ts'
import { openPepper, type Pepper } from './auth/pepper.ts'
import { ClientAddresses } from './client-address.ts'
import type { Credential } from './auth/credential.ts'
import type { GatewayConfig } from './config.ts'
import { createControlApp } from './control/control-app.ts'
import { DatabaseAdmin } from './control/database-admin.ts'
import { addDrainRoutes, type DrainedBackend } from './control/drain-routes.ts'
import { addTunnelRoutes } from './control/tunnel-routes.ts'
import { listenControl } from './control/listen.ts'
import { countForeignApiKeys } from './db/api-keys.ts'
import type { Database } from './db/database.ts'
import { openDatabase } from './db/open.ts'
import { databasePath, lockHome, openHome, pepperPath } from './home.ts'
import { startHttpServer } from './http-server.ts'
import { revokedKey } from './middleware/authenticate.ts'
import { ServiceDoor } from './services/service-door.ts'
import { listenForService } from './services/service-listener.ts'
import {
  placeOf,
  placeOfHost,
  placeOfPort,
  type Place,
  type ServiceOrigins,
} from './services/service-origins.ts'
import { enterPath, VisitGate } from './services/visit-gate.ts'
import { Shutdown, waitFor, type Drained } from './shutdown.ts'
import { TunnelAcceptor } from './tunnel/accept.ts'
import { BackendRegistry } from './tunnel/registry.ts'
import { settleLateUsage } from './usage/late-usage.ts'

export type GatewayOptions = {
  readonly log: Log
  /** ms since the epoch. */
  readonly now?: () => number
  /** The tunnel's time limits. */
  readonly timing?: Timing
  /** The answers' time limits. */
  readonly answerTiming?: AnswerTiming
}

export type Gateway = {
  /** Where a program on this machine reaches it, e.g. `http://127.0.0.1:8080`. */
  readonly url: string
  /** Keys and backends; closed with the gateway. */
  readonly admin: DatabaseAdmin
  /** In Prometheus' text format. */
  metrics(): string
  /** Resolves when somebody asks for a drain by `burrow drain`; it has begun then. */
  readonly drainRequested: Promise<void>
  /**
   * Takes nothing new, lets what runs finish for up to `graceMs` (default: as configured), then closes.
   * Idempotent: the first call's grace holds.
   */
  drain(graceMs?: number): Promise<Drained>
  /** Closes now, cutting what runs and entering it into the books; also hurries a `drain`. */
  close(): Promise<void>
}

/**
 * Starts a gateway. Fails with what to do when its directory, database or port cannot be had, and
 * leaves nothing open then.
 */
export const startGateway = async (
  config: GatewayConfig,
  options: GatewayOptions,
): Promise<Gateway> => {
  const { home } = config
  const { log, now = Date.now, timing, answerTiming } = options
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
  const services = config.services ?? noServices
  const gate = new VisitGate({ db, pepper, now })
  const door = new ServiceDoor({ gate, router: registry, log })
  opening.defer(() => gate.close())
  let ownUrl: string | undefined
  const admin = new DatabaseAdmin({
    db,
    pepper,
    now,
    linkOf: (service, secret) =>
      ownUrl ? linkTo(placeOf(services, service, ownUrl), secret) : null,
    gateway: {
      grantRevoked: (id) => gate.grantRevoked(id),
      keyRevoked: (id) => active.revokeKey(id, revokedKey()),
      backendLoginRevoked: (id) => registry.disconnect(id, 'the backend was revoked'),
      connected: () => registry.backends(),
    },
    onClose: () => {},
  })
  const control = createControlApp(admin, log)
  const { drainTimeoutMs = 1000 * defaultDrainSeconds } = config
  const shutdown = new Shutdown({
    active,
    registry,
    visits: gate,
    graceMs: drainTimeoutMs,
  })
  addDrainRoutes(control, {
    gateway: (timeoutMs) => shutdown.ask(timeoutMs),
    backend: (idOrName, timeoutMs, signal) => drainBackend(registry, idOrName, timeoutMs, signal),
  })
  addTunnelRoutes(control, registry)
  opening.adopt(await listenControl(home, control), (c) => c.close())

  const app = createApp({
    db,
    pepper,
    registry,
    active,
    log,
    now,
    isDraining: () => shutdown.isDraining,
    ...(answerTiming && { answerTiming }),
  })
  const tunnels = new TunnelAcceptor({
    registry,
    login: new BackendLogin({ db, tunnelKeys: config.tunnelKeys ?? [], now }),
    addresses: new ClientAddresses(config.trustedProxies),
    log,
    now,
    ...(timing && { timing }),
  })
  const { host, port } = config
  const visits = { placeOf: (name: string | undefined) => placeOfHost(services, name), door }
  const server = await startHttpServer({ host, port, fetch: app.fetch, tunnels, visits })
  opening.defer(() => server.close())
  ownUrl = server.url
  for (const [service, port] of services.ports) {
    const place = placeOfPort(service, port, server.url)
    opening.adopt(await listenForService(door, place, { host, port }), (open) => open.close())
  }
  const opened = opening.move()

  shutdown.serving(server)
  let closed: Promise<Drained> | undefined
  const drain = (graceMs?: number): Promise<Drained> =>
    (closed ??= shutdown.drain(graceMs).then(async (drained) => {
      await opened.disposeAsync()
      return drained
    }))
  return {
    url: server.url,
    admin,
    metrics: () => registry.metrics(),
    drainRequested: shutdown.asked,
    drain,
    close: async () => {
      shutdown.hurry()
      await drain(0)
    },
  }
}

/** Happens when the pepper's file was lost and made anew: better said than found out by 401s. */
const warnOfForeignKeys = async (db: Database, pepper: Pepper, log: Log): Promise<void> => {
  const keys = await countForeignApiKeys(db, pepper.version)
  if (keys === 0) return
  log.warn('keys of another pepper do not work: restore its file, or make new ones', { keys })
}

/** What lets a browser in; the secret leaves the address at once. */
const linkTo = (place: Place | null, secret: Credential): string | null =>
  place && `${place.origin.origin}${enterPath}?grant=${secret.reveal()}`

const noServices: ServiceOrigins = { domain: null, ports: new Map() }

const drainBackend = async (
  registry: BackendRegistry,
  idOrName: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<DrainedBackend> => {
  const backend = registry
    .backends()
    .find(({ backendId, name }) => backendId === idOrName || name === idOrName)
  if (!backend) {
    const message = `no backend ${idOrName} is connected: \`backends list\` shows them`
    throw new ApiError(404, message)
  }
  backend.drain()
  await waitFor(backend.finished(), timeoutMs, signal)
  return { name: backend.name, running: backend.openStreams }
}
