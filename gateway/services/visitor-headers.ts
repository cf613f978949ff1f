/** What passes between a visitor and a service: all that is theirs, and nothing of the gateway's. */
import type { IncomingMessage } from 'node:http'
import { headersOf, passesProxies } from '../../shared/hop-by-hop.ts'
import { isCredentialText } from '../auth/credential.ts'
import { boundToHost, withoutOwnCookies } from './service-cookies.ts'

/** Said by the gateway itself, or between it and the visitor only; of cookies, a part. */
const ownFields: ReadonlySet<string> = new Set([
  'cookie',
  'expect',
  'forwarded',
  'host',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
])

export type Visited = {
  /** The origin that the visitor has asked. */
  readonly origin: URL
  /** The visitor's, or its proxy's. */
  readonly address: string | undefined
}

/** The request's fields for the service. @throws TypeError for a value that no field can have */
export const requestHeadersFor = (
  { rawHeaders, headers: { connection, cookie } }: IncomingMessage,
  { origin, address }: Visited,
): Headers => {
  const passes = passesProxies(connection ?? null)
  const headers = headersOf(rawHeaders, (name) => passes(name) && !ownFields.has(name))
  const cookies = cookie === undefined ? null : withoutOwnCookies(cookie)
  if (cookies !== null) headers.set('cookie', cookies)
  const authorization = headers.get('authorization') ?? ''
  // There may be several in it: the field was repeated.
  if (authorization.split(/[\s,]+/).some(isCredentialText)) headers.delete('authorization')
  headers.set('x-forwarded-host', origin.host)
  headers.set('x-forwarded-proto', origin.protocol.slice(0, -1))
  if (address !== undefined) headers.set('x-forwarded-for', address)
  return headers
}

/** The answer's fields for the visitor. */
export const responseHeadersFor = (headers: Headers): [string, string][] =>
  [...headers].flatMap(([name, value]) => {
    const shown = name === 'set-cookie' ? boundToHost(value) : value
    return shown === null ? [] : [[name, shown]]
  })
