/** `burrow drain` on a backend's machine: asks the backends that run in a data directory to leave. */
import { readdir, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { isFields } from '../../shared/parse.ts'
import type { Drained } from './listen.ts'
import { isBackendSocket } from './socket-path.ts'

/**
 * Waits until all backends of the data directory have finished and left. Null when none runs there.
 * @throws Error when one does not answer
 */
export const drainRunningBackends = async (
  home: string,
  timeoutMs: number,
): Promise<(Drained & { readonly backends: number }) | null> => {
  const names = await readdir(home).catch(() => [])
  const answers = await Promise.all(
    names.filter(isBackendSocket).map((name) => drainOne(join(home, name), timeoutMs)),
  )
  const drained = answers.filter((answer) => answer !== null)
  if (drained.length === 0) return null
  return { backends: drained.length, cut: drained.reduce((sum, { cut }) => sum + cut, 0) }
}

/** Null for a socket that a dead process has left behind; it is removed. */
const drainOne = async (socketPath: string, timeoutMs: number): Promise<Drained | null> => {
  const { promise, resolve, reject } = Promise.withResolvers<Drained | null>()
  const path = `/drain?timeoutMs=${timeoutMs}`
  const outgoing = request({ socketPath, method: 'POST', path, agent: false }, (incoming) => {
    text(incoming)
      .then((answer) => resolve(parseDrained(answer)))
      .catch(reject)
  })
  outgoing.on('error', (cause) => {
    const code = 'code' in cause ? cause.code : undefined
    if (code === 'ENOENT') return resolve(null)
    if (code === 'ECONNREFUSED') return resolve(rm(socketPath, { force: true }).then(() => null))
    reject(new Error(`the backend at ${socketPath} has ended before it had drained`, { cause }))
  })
  outgoing.end()
  return promise
}

const parseDrained = (answer: string): Drained => {
  const value: unknown = JSON.parse(answer)
  if (isFields(value) && typeof value['cut'] === 'number') return { cut: value['cut'] }
  throw new Error('the running backend gave an answer of another version: send it SIGTERM')
}
