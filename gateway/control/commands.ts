/** `burrow keys …` and `burrow backends …`: what they print. */
import type { Admin, ApiKeyInfo, BackendInfo } from './admin.ts'
import { table, type Printed } from './table.ts'

export const adminCommands = {
  keys: ['create', 'list', 'revoke'],
  backends: ['enroll', 'list', 'revoke'],
} as const

export type AdminCommand = {
  readonly noun: keyof typeof adminCommands
  readonly verb: string
  /** Of `create` and `enroll`. */
  readonly name: string | undefined
  /** Of `enroll`: the models that the backend may serve; null: any. */
  readonly scope: readonly string[] | null
  /** Of `revoke`. */
  readonly id: string | undefined
}

/** @throws ApiError or Error that says what is wrong */
export const runAdminCommand = (admin: Admin, command: AdminCommand): Promise<Printed> =>
  results[command.noun](admin, command)

const results = {
  keys: async (admin: Admin, command: AdminCommand): Promise<Printed> => {
    if (command.verb === 'create') {
      const { key, secret } = await admin.createKey(requireName(command))
      return {
        json: { ...key, key: secret.reveal() },
        text: `${key.id} ${key.name}\n${secret.reveal()}\nThis key is shown only now.`,
      }
    }
    if (command.verb === 'revoke') {
      const key = await admin.revokeKey(requireId(command))
      return { json: key, text: `${key.id} ${key.name} is revoked.` }
    }
    const keys = await admin.listKeys()
    return { json: keys, text: table(['id', 'name', 'key', 'created', 'state'], keys.map(keyRow)) }
  },

  backends: async (admin: Admin, command: AdminCommand): Promise<Printed> => {
    if (command.verb === 'enroll') {
      const { backend, token } = await admin.enrollBackend(requireName(command), command.scope)
      return {
        json: { ...backend, token: token.reveal() },
        text: `${backend.id} ${backend.name}\n${token.reveal()}\nThis secret is shown only now: give it to the backend as BURROW_TOKEN.`,
      }
    }
    if (command.verb === 'revoke') {
      const backend = await admin.revokeBackend(requireId(command))
      return { json: backend, text: `${backend.id} ${backend.name} is revoked.` }
    }
    const backends = await admin.listBackends()
    return {
      json: backends,
      text: table(
        ['id', 'name', 'login', 'created', 'state', 'may serve', 'serves'],
        backends.map(backendRow),
      ),
    }
  },
}

const requireName = ({ noun, verb, name }: AdminCommand): string => {
  if (name === undefined) throw new Error(`burrow ${noun} ${verb} needs --name NAME`)
  return name
}

const requireId = ({ noun, verb, id }: AdminCommand): string => {
  if (id === undefined) {
    throw new Error(`burrow ${noun} ${verb} needs an ID: see burrow ${noun} list`)
  }
  return id
}

const keyRow = (key: ApiKeyInfo): string[] => [
  key.id,
  key.name,
  `…${key.hint}`,
  new Date(key.createdAt).toISOString().slice(0, 16),
  key.revokedAt === null ? 'active' : 'revoked',
]

const backendRow = (backend: BackendInfo): string[] => {
  const [id = '', name = '', , created = ''] = keyRow(backend)
  const scope = backend.scope?.join(', ') ?? 'any'
  return [id, name, loginOf(backend), created, stateOf(backend), scope, backend.models.join(', ')]
}

const stateOf = ({ connected, draining, revokedAt }: BackendInfo): string => {
  if (connected) return draining ? 'draining' : 'connected'
  return revokedAt === null ? 'away' : 'revoked'
}

const loginOf = ({ login, hint }: BackendInfo): string => {
  if (login === 'secret') return `…${hint}`
  return login === 'none' ? 'enroll again' : login
}
