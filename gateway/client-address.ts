/** Whose request it is, where limits are counted by address. */
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP, isIPv6 } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

export class ClientAddresses {
  readonly #proxies = new BlockList()

  /** @param trustedProxies those that `trustedProxyProblem` has nothing to say about */
  constructor(trustedProxies: readonly string[] = []) {
    for (const text of trustedProxies) {
      const range = parseRange(text)
      if (range) this.#proxies.addSubnet(range.address, range.bits, range.family)
    }
  }

  /** What stands for the client in a count; see `countedAddress`. */
  of(request: IncomingMessage): string | null {
    const address = this.#clientOf(request)
    return address === undefined ? null : countedAddress(address)
  }

  /** From the socket backwards: the first that is no proxy of ours. */
  #clientOf({ socket, headers }: IncomingMessage): string | undefined {
    const own = socket.remoteAddress
    let client = own === undefined ? undefined : plain(own)
    // Node joins repeated headers of this name with commas.
    const hops = String(headers['x-forwarded-for'] ?? '').split(',')
    while (client !== undefined && isIn(this.#proxies, client)) {
      const hop = plain((hops.pop() ?? '').trim())
      if (isIP(hop) === 0) break
      client = hop
    }
    return client
  }
}

/**
 * What stands for an address in a count: itself, or the /64 of an IPv6 address, of which one machine
 * has many. Null for this machine itself, where a proxy may stand for all the world, and for no address.
 */
export const countedAddress = (address: string): string | null => {
  if (isIP(address) === 0 || isIn(loopback, address)) return null
  return isIPv6(address) ? network(address) : address
}

/** What is wrong with a list of addresses and CIDR ranges; null if nothing is. */
export const trustedProxyProblem = (ranges: readonly string[]): string | null => {
  const bad = ranges.find((range) => !parseRange(range))
  return bad === undefined ? null : `"${bad}" is no address and no range such as 10.0.0.0/8`
}

type Range = {
  readonly address: string
  readonly bits: number
  readonly family: 'ipv4' | 'ipv6'
}

const parseRange = (text: string): Range | null => {
  const [address = '', prefix, ...more] = text.split('/')
  const family = isIPv6(address) ? 'ipv6' : 'ipv4'
  const maxBits = family === 'ipv6' ? 128 : 32
  const bits = prefix === undefined ? maxBits : Number(prefix)
  const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && bits <= maxBits)
  if (isIP(address) === 0 || !isPrefix || more.length > 0) return null
  return { address, bits, family }
}

const isIn = (list: BlockList, address: string): boolean =>
  list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')

/** Without a port, as some proxies write it, and IPv4 as such where it is mapped into IPv6. */
const plain = (text: string): string => {
  const address = /^\[([^\]]*)\](:\d+)?$/.exec(text)?.[1] ?? text.replace(/^([\d.]+):\d+$/, '$1')
  return address.replace(/^::ffff:(?=[\d.]+$)/i, '').replace(/%.*$/, '')
}

/** The first four groups. */
const network = (address: string): string => {
  const [head = '', tail = ''] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const end = tail === '' ? [] : tail.split(':')
  // The last group of ::1.2.3.4 stands for two; only the first four matter.
  const zeros = address.includes('::') ? Math.max(0, 8 - groups.length - end.length) : 0
  return [...groups, ...Array<string>(zeros).fill('0'), ...end]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}
