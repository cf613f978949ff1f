/**
 * What the Worker does itself: it turns strangers away, so that the hub is neither woken nor billed
 * for them, and hands everybody else on.
 */
import { drizzle } from 'drizzle-orm/d1'
import { Hono, type Context } from 'hono'
import { ConfigError } from '../../shared/config-error.ts'
import { ApiError } from '../../shared/errors.ts'
import { protocolName, tunnelPath } from '../../shared/tunnel/handshake.ts'
import { BackendLogin } from '../auth/backend-login.ts'
import { isSameSecret } from '../auth/same-secret.ts'
import { countedAddress } from '../client-address.ts'
import { adminPath } from '../control/admin-path.ts'
import { errorFields } from '../error-fields.ts'
import type { GatewayEnv } from '../gateway-env.ts'
import { newId } from '../ids.ts'
import { presentedKey } from '../middleware/authenticate.ts'
import { onError } from '../middleware/on-error.ts'
import { AttemptLimit } from '../tunnel/attempt-limit.ts'
import { checkProtocol, identifyCaller, notNow, tooOften } from '../tunnel/caller.ts'
import { readSettings, type Bindings } from './bindings.ts'
import { askHub } from './hub-call.ts'
import { log } from './log.ts'

type FrontEnv = GatewayEnv & { Bindings: Bindings }

type FrontContext = Context<FrontEnv>

/** @param attempts failed attempts of backends; of this isolate alone, as there is no other place yet */
export const createFrontDoor = (attempts = new AttemptLimit()): Hono<FrontEnv> => {
  const app = new Hono<FrontEnv>()

  // Said before the hub fails for it.
  app.use(async (c, next) => {
    readSettings(c.env)
    await next()
  })

  app.get(tunnelPath, async (c) => {
    await checkBackend(c, attempts)
    return askHub(c.env, c.req.raw, 'tunnel')
  })

  app.all(`${adminPath}/*`, async (c) => {
    checkAdminToken(c.req.raw.headers, readSettings(c.env).adminToken)
    return askHub(c.env, c.req.raw, 'admin')
  })

  app.all('/health', (c) => askHub(c.env, c.req.raw, 'api'))

  app.all('/v1/*', (c) => {
    // The hub looks it up; most inventions end here.
    presentedKey(c.req.raw.headers)
    return askHub(c.env, c.req.raw, 'api')
  })

  app.notFound((c) => answerError(unknownUrl(c), c))
  app.onError((error, c) => answerError(asShown(error), c))
  return app
}

/** What is answered here has an id as well; an answer of the hub has its own. */
const answerError = (error: Error, c: FrontContext): Response => {
  c.set('requestId', newId('req'))
  const response = onError(log)(error, c)
  response.headers.set('x-request-id', c.var.requestId)
  if (response.status === 426) {
    response.headers.set('sec-websocket-protocol', protocolName)
    response.headers.set('upgrade', 'websocket')
  }
  return response
}

/** Only the operator can help, and most likely it is the operator who asks. */
const asShown = (error: Error): Error => {
  if (!(error instanceof ConfigError)) return error
  log.error('the gateway is not configured', { problem: error.message })
  return new ApiError(503, `This gateway is not configured yet: ${error.message}`, {
    type: 'service_unavailable_error',
    code: 'not_configured',
  })
}

const unknownUrl = ({ req }: Context): ApiError =>
  new ApiError(404, `Invalid URL (${req.method} ${req.path})`)

/** @throws ApiError unless the backend's token holds, or it says that it has the tunnel key */
const checkBackend = async ({ env, req }: FrontContext, attempts: AttemptLimit): Promise<void> => {
  const header = (name: string) => req.raw.headers.get(name)
  checkProtocol(header)
  const address = countedAddress(header('cf-connecting-ip') ?? '')
  const waitMs = address === null ? 0 : attempts.waitMs(address)
  if (waitMs > 0) throw tooOften(waitMs)
  const { tunnelKeys } = readSettings(env)
  const login = new BackendLogin({ db: drizzle(env.DB), tunnelKeys, now: Date.now })
  await identifyCaller(header, login).catch((error: unknown) => {
    if (error instanceof ApiError) {
      if (address !== null) attempts.failed(address)
      throw error
    }
    log.error('backend token could not be checked', errorFields(error))
    throw notNow
  })
}

/** @throws ApiError unless the request carries it */
const checkAdminToken = (headers: Headers, adminToken: string | null): void => {
  if (adminToken === null) {
    throw new ApiError(
      404,
      'This gateway has no admin API: its secret BURROW_ADMIN_TOKEN is not set.',
    )
  }
  const presented = /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1]
  if (presented === undefined || !isSameSecret(presented, adminToken)) {
    throw new ApiError(401, 'This is not the admin token of this gateway.', {
      code: 'invalid_admin_token',
    })
  }
}
