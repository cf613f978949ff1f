/** Reaching a gateway that serves its control API on the web, behind its admin token. */
import type { FlagValues } from '../../shared/flags.ts'
import { isLoopback } from '../../shared/loopback.ts'
import { adminPath } from './admin-path.ts'
import { adminTimeoutMs, type AdminCall } from './remote-admin.ts'

/**
 * The address that `--gateway` names: the gateway's own, or its tunnel's.
 * @throws Error that says what to change
 */
export const parseGatewayUrl = (text: string): URL => {
  const url = URL.parse(text.replace(/^ws/, 'http'))
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new Error(`the gateway's address must begin with https:// or wss://, not ${text}`)
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw new Error(
      `use https:// for ${url.hostname}: over http:// the admin token would be readable`,
    )
  }
  return new URL(url.origin)
}

export const webCall =
  (gateway: URL, adminToken: string): AdminCall =>
  async (method, path, body) => {
    const response = await fetch(new URL(adminPath + path, gateway), {
      method,
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      // Another host must not get the token.
      redirect: 'manual',
      signal: AbortSignal.timeout(adminTimeoutMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }).catch((cause: unknown) => {
      throw new Error(`${gateway.origin} does not answer: is it the gateway's address?`, { cause })
    })
    const { status } = response
    try {
      return { status, value: await response.json() }
    } catch (cause) {
      throw new Error(`${gateway.origin} answered ${status}, but not as a gateway does`, { cause })
    }
  }

/** To the gateway that `--gateway` names; null without. @throws Error that says what is wrong */
export const chosenWebCall = (flags: FlagValues, env: FlagValues): AdminCall | null => {
  const address = flags['gateway']
  if (!address) return null
  const gateway = parseGatewayUrl(address)
  const adminToken = env['BURROW_ADMIN_TOKEN']
  if (!adminToken) {
    throw new Error('--gateway needs the admin token of that gateway in BURROW_ADMIN_TOKEN')
  }
  return webCall(gateway, adminToken)
}
