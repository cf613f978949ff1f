/** The tunnel keys of a gateway, from its settings. */
import { TunnelKey, tunnelKeyRequirement } from '../../shared/auth/tunnel-key.ts'

const maxTunnelKeys = 2

/** @param problems what is wrong with the variable is added to it */
export const readTunnelKeys = (variable: string | undefined, problems: string[]): TunnelKey[] => {
  const texts = variable?.split(',').map((text) => text.trim()) ?? []
  const keys = texts.filter((text) => text !== '').map((text) => TunnelKey.parse(text))
  const good = keys.filter((key) => key !== null)
  if (good.length < keys.length) {
    problems.push(`BURROW_TUNNEL_KEY must have ${tunnelKeyRequirement}`)
  }
  if (keys.length > maxTunnelKeys) {
    problems.push(
      `BURROW_TUNNEL_KEY may hold ${maxTunnelKeys} keys at most: the new and the old one`,
    )
  }
  return good
}
