/**
 * What the Worker does itself: it turns strangers away, so that the hub is neither woken nor billed
 * for them, and hands everybody else on.
 */
import { drizzle } from 'drizzle-orm/d1'
import { Hono, type Context } from 'hono'
import { ConfigError } from '../../shared/config-error.ts'
import { ApiError } from '../../shared/errors.ts'
import { isSameSecret } from '../auth/same-secret.ts'
import { adminPath } from '../control/admin-path.ts'
import { tunnelPath } from '../../shared/tunnel/handshake.ts'
import { newId } from '../ids.ts'
import type { GatewayEnv } from '../gateway-env.ts'
import { presentedKey } from '../middleware/authenticate.ts'
import { onError } from '../middleware/on-error.ts'
import { adminTokenOf, pepperOf, type Bindings } from './bindings.ts'
import { callHub } from './hub-call.ts'
import { log } from './log.ts'
import { identifyBackend } from './tunnel-door.ts'

type FrontEnv = GatewayEnv & { Bindings: Bindings }

export const frontDoor = new Hono<FrontEnv>()

// Said before the hub fails for it.
frontDoor.use(async (c, next) => {
  pepperOf(c.env)
  await next()
})

frontDoor.get(tunnelPath, async (c) => {
  const backend = await identifyBackend(c.req.raw.headers, drizzle(c.env.DB), pepperOf(c.env))
  return callHub(c.env, c.req.raw, { to: 'tunnel', backend })
})

frontDoor.all(`${adminPath}/*`, async (c) => {
  checkAdminToken(c.req.raw.headers, adminTokenOf(c.env))
  return callHub(c.env, c.req.raw, { to: 'admin' })
})

frontDoor.all('/health', (c) => callHub(c.env, c.req.raw, { to: 'api' }))

frontDoor.all('/v1/*', (c) => {
  // The hub looks it up; most inventions end here.
  presentedKey(c.req.raw.headers)
  return callHub(c.env, c.req.raw, { to: 'api' })
})

frontDoor.notFound((c) => answerError(unknownUrl(c), c))

frontDoor.onError((error, c) => answerError(asShown(error), c))

/** What is answered here has an id as well; an answer of the hub has its own. */
const answerError = (error: Error, c: Context<FrontEnv>): Response => {
  c.set('requestId', newId('req'))
  const response = onError(log)(error, c)
  response.headers.set('x-request-id', c.var.requestId)
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
