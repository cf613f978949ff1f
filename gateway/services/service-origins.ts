/**
 * Where exposed services are visited: each at an origin of its own, so that a service's scripts are
 * strangers to the gateway and to each other. Never a path beside the API.
 */
import { isServiceName } from '../../shared/tunnel/hello.ts'

/** A service and where the visitor has found it. */
export type Place = { readonly service: string; readonly origin: URL }

export type ServiceOrigins = {
  /** The service NAME is at NAME.<this host>, on the gateway's own port. Null: by ports only. */
  readonly domain: URL | null
  /** Ports of single services, by name. */
  readonly ports: ReadonlyMap<string, number>
}

/** @param problems gets a sentence for each wrong value */
export const parseServiceOrigins = (
  domain: string | undefined,
  ports: readonly string[],
  problems: string[],
): ServiceOrigins => {
  const byName = new Map<string, number>()
  for (const item of ports) {
    const [, name = '', port = ''] = /^([^=]*)=(\d{1,5})$/.exec(item) ?? []
    if (!isServiceName(name) || Number(port) > 65_535 || byName.has(name)) {
      problems.push(`--service-port takes NAME=PORT, each name once, not "${item}"`)
    } else {
      byName.set(name, Number(port))
    }
  }
  return { domain: domain === undefined ? null : parseDomain(domain, problems), ports: byName }
}

const parseDomain = (text: string, problems: string[]): URL | null => {
  const url = URL.parse(text)
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/'
  if (isOrigin && url.search === '' && url.username === '' && /[a-z]/i.test(url.hostname))
    return url
  problems.push(
    `--service-domain takes an origin such as https://apps.example.com, not "${text}": ` +
      'a service NAME is then at https://NAME.apps.example.com',
  )
  return null
}

/** The place that a `Host` field asks for; null when it is the gateway's own. */
export const placeOfHost = ({ domain }: ServiceOrigins, host: string | undefined): Place | null => {
  if (!domain || host === undefined) return null
  const suffix = `.${domain.hostname}`
  const hostname = host.replace(/:\d+$/, '').toLowerCase()
  if (!hostname.endsWith(suffix)) return null
  // A name that no service can have is no way to the API either.
  const service = hostname.slice(0, -suffix.length)
  return { service, origin: originBelow(domain, service) }
}

/** Where a service with a port of its own is visited. */
export const placeOfPort = (service: string, port: number, gatewayUrl: string): Place => {
  const origin = new URL(gatewayUrl)
  origin.port = String(port)
  return { service, origin }
}

/**
 * The same by the name that the visitor has used: a port has as many as the machine. Other sites' pages
 * cannot make a browser send another `Host`, and under a name of theirs it has no cookie of ours.
 * @param isSecure whether a proxy says that it was asked by https
 */
export const placeAsAsked = (place: Place, host: string | undefined, isSecure: boolean): Place => {
  const origin = host === undefined ? null : URL.parse(`${isSecure ? 'https' : 'http'}://${host}`)
  const isHost = origin !== null && origin.host === host?.toLowerCase()
  return isHost ? { ...place, origin } : place
}

/** Where a service is visited; null when it has no place. */
export const placeOf = (
  { domain, ports }: ServiceOrigins,
  service: string,
  gatewayUrl: string,
): Place | null => {
  const port = ports.get(service)
  if (port !== undefined) return placeOfPort(service, port, gatewayUrl)
  return domain && { service, origin: originBelow(domain, service) }
}

const originBelow = (domain: URL, service: string): URL =>
  new URL(`${domain.protocol}//${service}.${domain.host}`)
