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

/** The service that a `Host` field asks for; null when it is none's. */
export const serviceOfHost = (
  { domain }: ServiceOrigins,
  host: string | undefined,
): string | null => {
  if (!domain || host === undefined) return null
  const suffix = `.${domain.hostname}`
  const hostname = host.replace(/:\d+$/, '').toLowerCase()
  if (!hostname.endsWith(suffix)) return null
  const name = hostname.slice(0, -suffix.length)
  // Any other name below the domain is nobody's, and above all not the API's.
  return isServiceName(name) ? name : ''
}

/** Where a service is visited; null when it has no place. */
export const originOf = (
  { domain, ports }: ServiceOrigins,
  name: string,
  gatewayUrl: string,
): URL | null => {
  const port = ports.get(name)
  if (port !== undefined) {
    const url = new URL(gatewayUrl)
    url.port = String(port)
    return url
  }
  if (!domain) return null
  const url = new URL(domain)
  url.hostname = `${name}.${domain.hostname}`
  return url
}
