/** The cookie that lets a visitor in, kept apart from the service's own. */

/** Of all cookies that are the gateway's: no service may read or write one. */
const ownName = /^(__Host-)?burrow-/i

/** With https, a name that other hosts and plain http cannot write to. */
export const visitCookieName = (service: string, isSecure: boolean): string =>
  `${isSecure ? '__Host-' : ''}burrow-service-${service}`

export const visitCookie = (
  service: string,
  secret: string,
  { isSecure, maxAgeSeconds }: { readonly isSecure: boolean; readonly maxAgeSeconds: number },
): string =>
  [
    `${visitCookieName(service, isSecure)}=${secret}`,
    'Path=/',
    'HttpOnly',
    'SameSite=Lax',
    `Max-Age=${maxAgeSeconds}`,
    ...(isSecure ? ['Secure'] : []),
  ].join('; ')

const nameOf = (pair: string): string => pair.split('=', 1)[0]?.trim() ?? ''

/** The values of a cookie in a `Cookie` field. */
export const cookieValues = (field: string, name: string): string[] =>
  field
    .split(';')
    .filter((pair) => nameOf(pair) === name)
    .map((pair) => pair.slice(pair.indexOf('=') + 1).trim())

/** A `Cookie` field as the service may see it; null when nothing is left of it. */
export const withoutOwnCookies = (field: string): string | null => {
  const rest = field.split(';').filter((pair) => !ownName.test(nameOf(pair)))
  return rest.length === 0 ? null : rest.map((pair) => pair.trim()).join('; ')
}

/** A service's `Set-Cookie` for its own host alone; null when it is after the gateway's cookie. */
export const boundToHost = (setCookie: string): string | null => {
  if (ownName.test(nameOf(setCookie))) return null
  return setCookie
    .split(';')
    .filter((part, index) => index === 0 || !/^\s*domain\s*(=|$)/i.test(part))
    .join(';')
}
