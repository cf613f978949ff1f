/**
 * Whether a visit that a cookie lets in was meant by the service's own pages: a browser sends cookies with
 * other sites' requests too.
 */
import type { IncomingHttpHeaders } from 'node:http'

const safeMethods: readonly string[] = ['GET', 'HEAD', 'OPTIONS']

/** Judged by `Origin`, which every browser sends with what may change something, and by `Sec-Fetch-Site`. */
export const isOwnRequest = (
  { origin, 'sec-fetch-site': site }: IncomingHttpHeaders,
  method: string,
  isUpgrade: boolean,
  own: URL,
): boolean => {
  if (!isUpgrade && safeMethods.includes(method)) return true
  if (origin !== undefined) return origin === own.origin
  return site === undefined || site === 'same-origin' || site === 'none'
}
