/** The gateway's own words to a visitor, in a form that people and programs can read. */
import type { IncomingMessage } from 'node:http'

export type ServiceAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const own = {
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'",
}

/** @param message holds nothing of the request */
export const refusal = (
  { headers }: Pick<IncomingMessage, 'headers'>,
  status: number,
  message: string,
): ServiceAnswer => {
  const isPage = headers.accept?.includes('text/html') ?? false
  const body = isPage
    ? `<!doctype html><meta charset="utf-8"><title>${status}</title><p>${message}</p>\n`
    : `${JSON.stringify({ error: { message, code: status } })}\n`
  const type = isPage ? 'text/html; charset=utf-8' : 'application/json'
  return { status, headers: { ...own, 'content-type': type }, body }
}

/** Lets the visitor in and takes the secret out of the address. */
export const entrance = (setCookie: string): ServiceAnswer => ({
  status: 303,
  headers: { ...own, location: '/', 'set-cookie': setCookie },
  body: '',
})
