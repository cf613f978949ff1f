/** `burrow drain` on a gateway's machine: asks the running gateway, and waits for the end. */
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { isFields, type Fields } from '../../shared/parse.ts'
import type { Drained } from '../shutdown.ts'
import type { DrainedBackend } from './drain-routes.ts'
import { controlSocketPath } from './socket-path.ts'

/** Ends the gateway of the data directory. Null when none runs there. @throws Error with its reason */
export const drainRunningGateway = async (
  home: string,
  timeoutMs: number,
): Promise<Drained | null> => {
  const answer = await post(home, `/drain?timeoutMs=${timeoutMs}`)
  return answer && { cut: Number(answer['cut']) }
}

/** Takes a backend out of its service. Null when none runs there. @throws Error with its reason */
export const drainBackendOfGateway = async (
  home: string,
  idOrName: string,
  timeoutMs: number,
): Promise<DrainedBackend | null> => {
  const path = `/drain/${encodeURIComponent(idOrName)}?timeoutMs=${timeoutMs}`
  const answer = await post(home, path)
  return answer && { name: String(answer['name']), running: Number(answer['running']) }
}

/** No time limit: the gateway keeps to its own. */
const post = async (home: string, path: string): Promise<Fields | null> => {
  const { promise, resolve, reject } = Promise.withResolvers<Fields | null>()
  const socketPath = controlSocketPath(home)
  const outgoing = request({ socketPath, method: 'POST', path, agent: false }, (incoming) => {
    text(incoming)
      .then((answer) => resolve(parse(answer)))
      .catch(reject)
  })
  outgoing.on('error', (cause) => {
    const code = 'code' in cause ? cause.code : undefined
    if (code === 'ENOENT' || code === 'ECONNREFUSED') resolve(null)
    else reject(new Error('the gateway has ended before it had drained', { cause }))
  })
  outgoing.end()
  return promise
}

const parse = (answer: string): Fields => {
  const value: unknown = JSON.parse(answer)
  const { error } = isFields(value) ? value : {}
  if (isFields(error)) throw new Error(String(error['message']))
  if (isFields(value)) return value
  throw new Error('the running gateway gave an answer of another version: send it SIGTERM')
}
