/** Who dials: a backend's upgrade request is checked before the hub hears of it. */
import { ApiError } from '../../shared/errors.ts'
import { protocolName } from '../../shared/tunnel/handshake.ts'
import { Credential } from '../auth/credential.ts'
import type { Pepper } from '../auth/pepper.ts'
import { findActiveBackend } from '../db/backends.ts'
import type { Database } from '../db/database.ts'
import type { BackendIdentity } from '../tunnel/registry.ts'

/** @throws ApiError as SPEC.md has it, "Handshake" */
export const identifyBackend = async (
  headers: Headers,
  db: Database,
  pepper: Pepper,
): Promise<BackendIdentity> => {
  const protocols = (headers.get('sec-websocket-protocol') ?? '').split(',')
  const isWebSocket = headers.get('upgrade')?.toLowerCase() === 'websocket'
  if (!isWebSocket || !protocols.some((name) => name.trim() === protocolName)) {
    throw new ApiError(426, `This gateway speaks ${protocolName} over WebSocket here.`)
  }
  const token = /^Bearer (\S+)$/i.exec(headers.get('authorization') ?? '')?.[1]
  const credential = Credential.parse('backendToken', token ?? '')
  const row = credential && (await findActiveBackend(db, credential.digest(pepper)))
  if (row) return { backendId: row.id, name: row.name }
  throw new ApiError(401, 'This gateway does not know this backend token.', {
    code: 'invalid_backend_token',
  })
}
