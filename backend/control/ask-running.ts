/** `burrow tunnel status` on a backend's machine: asks the backends that run in a data directory. */
import { readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { isFields } from '../../shared/parse.ts'
import type { PeerReport } from '../../shared/tunnel/connection-report.ts'
import { isBackendSocket } from './socket-path.ts'

/** A process and its gateways. */
export type RunningBackend = { readonly pid: number; readonly gateways: readonly PeerReport[] }

/** One that hangs is to be told of, not waited for. */
const answerMs = 10_000

/** Empty when none runs there. @throws Error when one does not answer */
export const askRunningBackends = async (home: string): Promise<RunningBackend[]> => {
  const names = await readdir(home).catch(() => [])
  const answers = await Promise.all(
    names.filter(isBackendSocket).map((name) => askOne(join(home, name))),
  )
  return answers.filter((answer) => answer !== null)
}

/** Null for a socket that a dead process has left behind. */
const askOne = async (socketPath: string): Promise<RunningBackend | null> => {
  const { promise, resolve, reject } = Promise.withResolvers<RunningBackend | null>()
  const signal = AbortSignal.timeout(answerMs)
  const outgoing = request({ socketPath, path: '/tunnel', agent: false, signal }, (incoming) => {
    text(incoming)
      .then((answer) => resolve(parse(answer)))
      .catch(reject)
  })
  outgoing.on('error', (cause) => {
    const code = 'code' in cause ? cause.code : undefined
    if (code === 'ENOENT' || code === 'ECONNREFUSED') resolve(null)
    else reject(new Error(`the backend at ${socketPath} does not answer`, { cause }))
  })
  outgoing.end()
  return promise
}

const parse = (answer: string): RunningBackend => {
  const value: unknown = JSON.parse(answer)
  const { pid, gateways } = isFields(value) ? value : {}
  if (typeof pid === 'number' && Array.isArray(gateways)) return { pid, gateways }
  throw new Error('the running backend is of another version: restart it')
}
