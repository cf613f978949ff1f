/** `--expose NAME=URL`: HTTP services of this box that visitors reach through the gateway. */
import { isServiceName } from '../../shared/tunnel/hello.ts'

/** By their names, the one origin that each leads to. */
export type ExposedServices = ReadonlyMap<string, URL>

const form = 'NAME=http://127.0.0.1:PORT'

/** @param problems gets a sentence for each item that is none */
export const parseExposedServices = (
  items: readonly string[],
  problems: string[],
): ExposedServices => {
  const services = new Map<string, URL>()
  for (const item of items) {
    const [, name = '', target = ''] = /^([^=]*)=(.*)$/s.exec(item) ?? []
    const url = URL.parse(target)
    const problem = problemOf(name, target, url)
    if (problem !== null) problems.push(`--expose ${item}: ${problem}`)
    else if (services.has(name)) problems.push(`--expose names ${name} twice`)
    else if (url) services.set(name, url)
  }
  return services
}

const problemOf = (name: string, target: string, url: URL | null): string | null => {
  if (!isServiceName(name)) return `a name has 1 to 63 of a-z, 0-9 and inner -: write ${form}`
  if (!url) return `"${target}" is no address: write ${form}`
  if (url.protocol !== 'http:') {
    return `only http:// services can be published, not ${url.protocol}// ones: for raw TCP use ssh or a VPN`
  }
  if (url.pathname !== '/' || url.search !== '' || url.username !== '' || url.hash !== '') {
    return `only an origin can be published, without path and user: write ${form}`
  }
  return null
}
