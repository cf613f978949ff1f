/** Header fields that mean one connection only (RFC 9110 section 7.6.1), and never pass a proxy. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Whether a field passes, by its name in small letters, beside a `Connection` of these options. */
export const passesProxies = (connection: string | null): ((name: string) => boolean) => {
  const named = new Set(connection?.split(',').map((option) => option.trim().toLowerCase()))
  return (name) => !hopByHop.has(name) && !named.has(name)
}

/** Node's raw headers (name, value, name, …) as a `Headers`, without those for which `passes` is false. */
export const headersOf = (
  rawHeaders: readonly string[],
  passes: (name: string) => boolean,
): Headers => {
  const headers = new Headers()
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase()
    if (passes(name)) headers.append(name, rawHeaders[i + 1] ?? '')
  }
  return headers
}
