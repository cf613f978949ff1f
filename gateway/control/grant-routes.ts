/** The control API's routes for grants. */
import { Hono } from 'hono'
import { InvalidRequest } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { fields } from '../../shared/parse.ts'
import { readBody } from '../read-body.ts'
import type { GrantAdmin, GrantWish } from '../services/grant-admin.ts'

const maxBodyBytes = 4 * 1024

export const grantRoutes = (grants: GrantAdmin, log: Log): Hono => {
  const app = new Hono()
  app.get('/', async (c) => c.json(await grants.listGrants()))
  app.post('/', async (c) => {
    const body = await readBody(c.req.raw, maxBodyBytes, c.req.raw.signal)
    const { grant, secret, link } = await grants.createGrant(readWish(body))
    log.info('service granted', { grant: grant.id, service: grant.service })
    return c.json({ grant, secret: secret.reveal(), link }, 201)
  })
  app.delete('/:id', async (c) => {
    const grant = await grants.revokeGrant(c.req.param('id'))
    log.info('service grant revoked', { grant: grant.id, service: grant.service })
    return c.json(grant)
  })
  return app
}

const readWish = (body: Uint8Array): GrantWish => {
  const value: unknown = JSON.parse(new TextDecoder().decode(body))
  const { service, name, lifetimeMs } = fields(value, 'the body')
  if (typeof service === 'string' && typeof name === 'string' && typeof lifetimeMs === 'number') {
    return { service, name, lifetimeMs }
  }
  throw new InvalidRequest('the body must be {"service": "…", "name": "…", "lifetimeMs": …}')
}
