/** `burrow services …`: who may visit exposed services, and what is printed of it. */
import type { GrantAdmin, ServiceGrantInfo } from '../services/grant-admin.ts'
import { table, type Printed } from './table.ts'

export const serviceVerbs = ['grant', 'list', 'revoke'] as const

export type ServiceCommand = {
  readonly verb: string
  /** The service to grant, or the grant to revoke. */
  readonly word: string | undefined
  /** A note of whom the grant is for. */
  readonly name: string | undefined
  /** Such as `90m`, `12h` or `30d`. */
  readonly expires: string | undefined
  /** ms since the epoch. */
  readonly now: number
}

const defaultLifetime = '12h'
const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

const lifetimeOf = (text: string): number => {
  const [, count = '', unit = ''] = /^(\d{1,6})([mhd])$/.exec(text) ?? []
  const ms = Number(count) * (unitMs[unit] ?? 0)
  if (ms > 0) return ms
  throw new Error(`--expires takes a time such as 90m, 12h or 30d, not "${text}"`)
}

/** @throws ApiError or Error that says what is wrong */
export const runServiceCommand = async (
  grants: GrantAdmin,
  { verb, word, name = '', expires = defaultLifetime, now }: ServiceCommand,
): Promise<Printed> => {
  if (verb === 'list') {
    const all = await grants.listGrants()
    const head = ['id', 'service', 'name', 'grant', 'expires', 'state']
    return {
      json: all,
      text: table(
        head,
        all.map((grant) => row(grant, now)),
      ),
    }
  }
  if (verb === 'revoke') {
    if (word === undefined)
      throw new Error('burrow services revoke needs an ID: see burrow services list')
    const grant = await grants.revokeGrant(word)
    return { json: grant, text: `${grant.id} ${grant.service} is revoked.` }
  }
  if (word === undefined) throw new Error('burrow services grant needs the name of a service')
  const wish = { service: word, name, lifetimeMs: lifetimeOf(expires) }
  const { grant, secret, link } = await grants.createGrant(wish)
  const until = `It holds until ${timeOf(grant.expiresAt)} and is shown only now.`
  const where =
    link ?? 'No link: the gateway has no place for it (--service-domain, --service-port).'
  return {
    json: { ...grant, secret: secret.reveal(), link },
    text: `${grant.id} ${grant.service}\n${where}\nFor programs, as a bearer token: ${secret.reveal()}\n${until}`,
  }
}

const timeOf = (ms: number): string => new Date(ms).toISOString().slice(0, 16)

const row = (grant: ServiceGrantInfo, now: number): string[] => {
  const { id, service, name, hint, expiresAt, revokedAt } = grant
  const state = revokedAt !== null ? 'revoked' : expiresAt <= now ? 'expired' : 'active'
  return [id, service, name, `…${hint}`, timeOf(expiresAt), state]
}
