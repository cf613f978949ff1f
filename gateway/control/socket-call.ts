/** Reaching a gateway in another process of this machine, over its control socket. */
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { adminTimeoutMs, type AdminAnswer, type AdminCall } from './remote-admin.ts'

export const socketCall =
  (socketPath: string): AdminCall =>
  (method, path, body) => {
    const { promise, resolve, reject } = Promise.withResolvers<AdminAnswer>()
    const signal = AbortSignal.timeout(adminTimeoutMs)
    const outgoing = request({ socketPath, method, path, agent: false, signal }, (incoming) => {
      text(incoming)
        .then((answer): unknown => JSON.parse(answer))
        .then((value) => resolve({ status: incoming.statusCode ?? 500, value }))
        .catch(reject)
    })
    outgoing.on('error', (cause) =>
      reject(new Error('the running gateway does not answer on its control socket', { cause })),
    )
    outgoing.end(body === undefined ? undefined : JSON.stringify(body))
    return promise
  }
