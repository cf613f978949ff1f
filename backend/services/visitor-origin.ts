/**
 * A service is visited at an origin of the gateway, and hears of its own address only. What it is told of
 * origins, and what it says of itself, is put into the other's terms: many services (Jupyter, Grafana) refuse
 * what comes from another origin than their own, or redirect to the address that they were asked at.
 */

/** Where the visitor found the service, as the gateway says; null where it does not. */
export const visitorOriginOf = (headers: Headers): string | null => {
  const protocol = headers.get('x-forwarded-proto')
  const host = headers.get('x-forwarded-host')
  return protocol === null || host === null ? null : `${protocol}://${host}`
}

/** A request's fields that tell whose page sent it. */
export const askingFields: readonly string[] = ['origin', 'referer']
/** An answer's fields that say where to go on. */
export const leadingFields: readonly string[] = ['location', 'content-location']

/** `address` with the origin `to`, if it is of the origin `from`; as it is, if not. */
export const movedTo = (address: string, from: string, to: string): string => {
  const rest = address.slice(from.length)
  const isOfOrigin = address.startsWith(from) && /^([/?#]|$)/.test(rest)
  return isOfOrigin ? to + rest : address
}
