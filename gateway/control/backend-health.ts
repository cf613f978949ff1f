/** Asking a connected backend how it is, through its tunnel. */
import type { ConnectedBackend } from '../tunnel/backend-connection.ts'
import { newId } from '../ids.ts'
import { readBody } from '../read-body.ts'

const maxHealthBytes = 64 * 1024

/** The JSON of the backend's `/health`; null if it gives none within `timeoutMs`. */
export const backendHealth = async (
  backend: ConnectedBackend,
  timeoutMs: number,
): Promise<unknown> => {
  const requestId = newId('req')
  const exchange = backend.open({
    requestId,
    method: 'GET',
    path: '/health',
    headers: new Headers({ accept: 'application/json' }),
    body: null,
  })
  // It is charged to nobody: the backend need not keep its count.
  void exchange.settled.then(() => backend.acknowledgeUsage([requestId]))
  const late = AbortSignal.timeout(timeoutMs)
  const giveUp = () => exchange.cancel('no answer in time')
  late.addEventListener('abort', giveUp)
  try {
    const { status } = await exchange.head
    const body = await readBody(exchange, maxHealthBytes, late)
    return status === 200 ? JSON.parse(new TextDecoder().decode(body)) : null
  } catch {
    // Whatever kept it from telling: the caller shows that it did not.
    return null
  } finally {
    late.removeEventListener('abort', giveUp)
    exchange.cancel('done')
  }
}
