/** Grants of a gateway that runs in another process, through its control API. */
import { fields } from '../../shared/parse.ts'
import { Credential } from '../auth/credential.ts'
import type {
  CreatedGrant,
  GrantAdmin,
  GrantWish,
  ServiceGrantInfo,
} from '../services/grant-admin.ts'

/** Resolves with the answer's JSON. Fails with the gateway's own message. */
export type ControlCall = (method: string, path: string, body?: unknown) => Promise<unknown>

export class RemoteGrants implements GrantAdmin {
  readonly #call: ControlCall

  constructor(call: ControlCall) {
    this.#call = call
  }

  async createGrant(wish: GrantWish): Promise<CreatedGrant> {
    const answer = fields(await this.#call('POST', '/services', wish), 'the answer')
    const { grant, secret, link } = answer
    const credential = Credential.parse('serviceGrant', String(secret))
    if (!credential) throw new Error('the running gateway gave no valid grant: restart it')
    return {
      grant: parseGrant(grant),
      secret: credential,
      link: link === null ? null : String(link),
    }
  }

  async listGrants(): Promise<readonly ServiceGrantInfo[]> {
    const answer = await this.#call('GET', '/services')
    if (Array.isArray(answer)) return answer.map(parseGrant)
    throw new Error('the running gateway gave an answer of another version: restart it')
  }

  async revokeGrant(id: string): Promise<ServiceGrantInfo> {
    return parseGrant(await this.#call('DELETE', `/services/${encodeURIComponent(id)}`))
  }
}

const parseGrant = (value: unknown): ServiceGrantInfo => {
  const { id, service, name, hint, createdAt, expiresAt, revokedAt } = fields(value, 'a grant')
  return {
    id: String(id),
    service: String(service),
    name: String(name),
    hint: String(hint),
    createdAt: Number(createdAt),
    expiresAt: Number(expiresAt),
    revokedAt: revokedAt === null ? null : Number(revokedAt),
  }
}
