/** `burrow keys …` and `burrow backends …`, from the words behind them. */
import { resolve } from 'node:path'
import { listItems, readFlag, type FlagValues } from '../../shared/flags.ts'
import { gatewayFlags } from '../flags.ts'
import type { Admin } from './admin.ts'
import { adminCommands, runAdminCommand } from './commands.ts'
import { openAdmin } from './open-admin.ts'
import { RemoteAdmin } from './remote-admin.ts'
import { parseGatewayUrl, webCall } from './web-call.ts'

/**
 * @param words what is no flag: `list`, or `revoke ID`
 * @returns what to print
 * @throws Error that says what is wrong
 */
export const administer = async (
  noun: keyof typeof adminCommands,
  words: readonly string[],
  flags: FlagValues,
  env: FlagValues,
): Promise<string> => {
  const [verb = '', id, ...more] = words
  const known: readonly string[] = adminCommands[noun]
  const hasStray = more.length > 0 || (id !== undefined && verb !== 'revoke')
  if (!known.includes(verb) || hasStray) {
    throw new Error(`burrow ${noun} takes ${known.join(', ')}: see burrow --help`)
  }
  const admin = await chosenAdmin(flags, env)
  try {
    const { name, model, json } = flags
    const scope = model === undefined ? null : listItems(model)
    return await runAdminCommand(admin, { noun, verb, id, name, scope, json: json !== undefined })
  } finally {
    admin.close()
  }
}

/** The gateway that `--gateway` names, else the one of the data directory. */
const chosenAdmin = async (flags: FlagValues, env: FlagValues): Promise<Admin> => {
  const address = flags['gateway']
  if (!address) {
    const home = readFlag(gatewayFlags, 'home', flags, env) ?? gatewayFlags.home.fallback
    return openAdmin(resolve(home))
  }
  const gateway = parseGatewayUrl(address)
  const adminToken = env['BURROW_ADMIN_TOKEN']
  if (!adminToken) {
    throw new Error('--gateway needs the admin token of that gateway in BURROW_ADMIN_TOKEN')
  }
  return new RemoteAdmin(webCall(gateway, adminToken))
}
