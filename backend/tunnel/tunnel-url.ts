/** The address of a gateway's tunnel. */
import { isLoopback } from '../../shared/loopback.ts'

/** @throws Error that says what to change when the address is no tunnel's */
export const parseTunnelUrl = (text: string): URL => {
  const url = URL.parse(text)
  if (!url || (url.protocol !== 'wss:' && url.protocol !== 'ws:')) {
    throw new Error(
      `The gateway's address must begin with wss:// (or ws:// on this machine): ${text}`,
    )
  }
  if (url.protocol === 'ws:' && !isLoopback(url.hostname)) {
    throw new Error(`Use wss:// for ${url.hostname}: over ws:// all that passes would be readable.`)
  }
  return url
}
