/** `burrow keys …`, `burrow backends …` and `burrow services …`, from the words behind them. */
import { resolve } from 'node:path'
import { listItems, readFlag, type FlagValues } from '../../shared/flags.ts'
import { gatewayFlags } from '../flags.ts'
import type { Admin } from './admin.ts'
import { adminCommands, runAdminCommand } from './commands.ts'
import { openAdmin } from './open-admin.ts'
import { RemoteAdmin } from './remote-admin.ts'
import { chosenWebCall } from './web-call.ts'
import { runServiceCommand, serviceVerbs } from './service-commands.ts'

export type AdminNoun = keyof typeof adminCommands | 'services'

/**
 * @param words what is no flag: `list`, `revoke ID`, or `grant SERVICE`
 * @returns what to print
 * @throws Error that says what is wrong
 */
export const administer = async (
  noun: AdminNoun,
  words: readonly string[],
  flags: FlagValues,
  env: FlagValues,
): Promise<string> => {
  const [verb = '', id, ...more] = words
  const known: readonly string[] = noun === 'services' ? serviceVerbs : adminCommands[noun]
  const takesWord = verb === 'revoke' || verb === 'grant'
  const hasStray = more.length > 0 || (id !== undefined && !takesWord)
  if (!known.includes(verb) || hasStray) {
    throw new Error(`burrow ${noun} takes ${known.join(', ')}: see burrow --help`)
  }
  const admin = await chosenAdmin(flags, env)
  try {
    const { name, model, expires, json: wantsJson } = flags
    const scope = model === undefined ? null : listItems(model)
    const { json, text } =
      noun === 'services'
        ? await runServiceCommand(admin.grants, { verb, word: id, name, expires, now: Date.now() })
        : await runAdminCommand(admin, { noun, verb, id, name, scope })
    return wantsJson === undefined ? text : JSON.stringify(json)
  } finally {
    admin.close()
  }
}

/** The gateway that `--gateway` names, else the one of the data directory. */
const chosenAdmin = async (flags: FlagValues, env: FlagValues): Promise<Admin> => {
  const call = chosenWebCall(flags, env)
  if (call) return new RemoteAdmin(call)
  const home = readFlag(gatewayFlags, 'home', flags, env) ?? gatewayFlags.home.fallback
  return openAdmin(resolve(home))
}
