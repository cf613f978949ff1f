/** Finding whom to ask: the running gateway, or the database if none runs. */
import { connect } from 'node:net'
import { openPepper } from '../auth/pepper.ts'
import { openDatabase } from '../db/open.ts'
import { databasePath, openHome, pepperPath } from '../home.ts'
import type { Admin } from './admin.ts'
import { DatabaseAdmin } from './database-admin.ts'
import { RemoteAdmin } from './remote-admin.ts'
import { socketCall } from './socket-call.ts'
import { controlSocketPath, controlSocketProblem } from './socket-path.ts'

/** The administration of the gateway whose data directory is `home`. To be closed after use. */
export const openAdmin = async (home: string): Promise<Admin> => {
  const problem = controlSocketProblem(home)
  if (problem) throw new Error(problem)
  await openHome(home)
  const socketPath = controlSocketPath(home)
  if (await isListening(socketPath)) return new RemoteAdmin(socketCall(socketPath))
  const pepper = await openPepper(pepperPath(home))
  const { db, close } = await openDatabase(databasePath(home))
  const linkOf = () => null
  return new DatabaseAdmin({ db, pepper, now: Date.now, gateway: null, linkOf, onClose: close })
}

/** False where there is no socket, or one that a dead process left behind. */
export const isListening = (socketPath: string): Promise<boolean> => {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  const socket = connect(socketPath)
  socket.on('connect', () => resolve(true))
  socket.on('error', (error) => {
    const code = 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ECONNREFUSED') resolve(false)
    else reject(new Error(`cannot reach the control socket ${socketPath}`, { cause: error }))
  })
  return promise.finally(() => socket.destroy())
}
