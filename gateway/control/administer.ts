/** `burrow keys …` and `burrow backends …`, from the words behind them. */
import { resolve } from 'node:path'
import { listItems, readFlag, type FlagValues } from '../../shared/flags.ts'
import { gatewayFlags } from '../flags.ts'
import { adminCommands, runAdminCommand } from './commands.ts'
import { openAdmin } from './open-admin.ts'

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
  const home = readFlag(gatewayFlags, 'home', flags, env) ?? gatewayFlags.home.fallback
  const admin = await openAdmin(resolve(home))
  try {
    const { name, model, json } = flags
    const scope = model === undefined ? null : listItems(model)
    return await runAdminCommand(admin, { noun, verb, id, name, scope, json: json !== undefined })
  } finally {
    admin.close()
  }
}
