/**
 * The HTTP proxy between this box and the gateway, as the environment names it. Node's own agent
 * asks it for a tunnel (CONNECT), so that TLS still ends at the gateway.
 */
import { Agent } from 'node:https'
import { BlockList, isIP, isIPv6 } from 'node:net'
import type { Duplex } from 'node:stream'

export type ProxySettings = {
  /** With user and password, if it wants them. Never logged. */
  readonly url: URL
  /** Hosts that are reached without it, with commas between. */
  readonly noProxy: string
}

/**
 * What https_proxy (else all_proxy) and no_proxy say, of which lower case wins, as in curl. Null
 * without a proxy. What is wrong is added to `problems`, and repeats no password.
 */
export const readProxySettings = (
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
): ProxySettings | null => {
  const variables = ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY']
  const variable = variables.find((name) => env[name])
  const text = variable === undefined ? undefined : env[variable]
  if (text === undefined) return null
  // Without a scheme it is a plain HTTP proxy.
  const url = URL.parse(text.includes('://') ? text : `http://${text}`)
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (!url || !isHttp || !isDecodable(url.username) || !isDecodable(url.password)) {
    problems.push(
      `${variable} must be http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, ` +
        'with special characters of user and password as %XX',
    )
    return null
  }
  return { url, noProxy: env['no_proxy'] || env['NO_PROXY'] || '' }
}

const isDecodable = (text: string): boolean => {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** Node's agent, for one attempt. */
export class ProxyAgent extends Agent {
  readonly #sockets = new Set<Duplex>()

  override createConnection(...args: Parameters<Agent['createConnection']>) {
    const socket = super.createConnection(...args)
    if (socket) {
      this.#sockets.add(socket)
      // Nobody else may listen yet, or any longer, when it is abandoned.
      socket.on('error', () => {})
      socket.once('close', () => this.#sockets.delete(socket))
    }
    return socket
  }

  /** Ends the attempt: Node 24 waits for ever if nothing comes after the proxy's 200. */
  abandon(reason: string): void {
    for (const socket of this.#sockets) socket.destroy(new Error(reason))
  }
}

/** The way through the proxy to `gateway`, a wss:// address. */
export class ProxyRoute {
  readonly #proxy: URL
  readonly #gateway: URL
  readonly #bypassList: string

  constructor({ url, noProxy }: ProxySettings, gateway: URL) {
    this.#proxy = url
    this.#gateway = gateway
    this.#bypassList = bypassList(noProxy, gateway)
  }

  newAgent(): ProxyAgent {
    return new ProxyAgent({
      proxyEnv: { https_proxy: this.#proxy.href, no_proxy: this.#bypassList },
    })
  }

  /** What went wrong between us and the gateway, without any secret. */
  explain(error: Error): string {
    const address = `${this.#proxy.protocol}//${this.#proxy.host}`
    const proxy = `the proxy ${address}`
    // A time-out, mostly: whose silence it was is not known.
    if (!('code' in error)) return `${error.message} (https_proxy is ${address})`
    if (error.code !== 'ERR_PROXY_TUNNEL') {
      return this.#isOfProxy(error) ? `${proxy}: ${error.message}` : error.message
    }
    const status = 'statusCode' in error ? Number(error.statusCode) : undefined
    if (status === undefined) return `${proxy} gave no answer: ${error.message}`
    if (status !== 407) return `${proxy} refused to connect to ${this.#gateway.host} (${status})`
    return this.#proxy.username === '' && this.#proxy.password === ''
      ? `${proxy} wants a user and a password (407): put them into https_proxy`
      : `${proxy} does not accept the user and password in https_proxy (407)`
  }

  #isOfProxy(error: Error): boolean {
    const { hostname, port, protocol } = this.#proxy
    if ('hostname' in error) return error.hostname === hostname
    const defaultPort = protocol === 'https:' ? 443 : 80
    return 'port' in error && error.port === Number(port || defaultPort)
  }
}

/**
 * Node knows hosts, `.suffixes`, `*` and ranges of IPv4 addresses. As elsewhere, a bare name stands
 * for all below it too, a port counts if it is the gateway's, and CIDR ranges hold addresses.
 */
const bypassList = (noProxy: string, gateway: URL): string => {
  const address = gateway.hostname.replace(/^\[|\]$/g, '')
  const entries = noProxy.split(/[\s,]+/).flatMap((entry) => {
    const {
      host = entry,
      v6,
      port,
    } = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:]+))(?::(?<port>\d+))?$/.exec(entry)?.groups ?? {}
    if (port !== undefined && port !== (gateway.port || '443')) return []
    if (host.includes('/')) return isInRange(address, host) ? [address] : []
    const isName = /^[a-z\d]/i.test(host) && isIP(host) === 0
    return isName && v6 === undefined ? [host, `.${host}`] : [v6 ?? host]
  })
  return entries.filter((entry) => entry !== '').join(',')
}

/** Whether an address is in a CIDR range; false where either is none. */
const isInRange = (address: string, range: string): boolean => {
  const [network = '', bits = ''] = range.split('/')
  const family = isIPv6(network) ? 'ipv6' : 'ipv4'
  const isRange = isIP(network) !== 0 && /^\d{1,3}$/.test(bits)
  if (!isRange || isIP(address) === 0 || Number(bits) > (family === 'ipv6' ? 128 : 32)) return false
  const list = new BlockList()
  list.addSubnet(network, Number(bits), family)
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}
