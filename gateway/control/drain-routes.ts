/** The part of the control API by which a running gateway, or one of its backends, is drained. */
import type { Context, Hono } from 'hono'
import { InvalidRequest } from '../../shared/errors.ts'
import type { Drained } from '../shutdown.ts'

export type DrainedBackend = {
  readonly name: string
  /** Requests that it still has. */
  readonly running: number
}

export type Drains = {
  /** Lets running requests finish for so long, and ends the gateway. */
  gateway(timeoutMs: number): Promise<Drained>
  /**
   * Sends the backend nothing more, and waits for so long until what it has is finished.
   * @throws ApiError when no such backend is connected
   */
  backend(idOrName: string, timeoutMs: number, signal: AbortSignal): Promise<DrainedBackend>
}

/** They answer when the drain is over. */
export const addDrainRoutes = (app: Hono, drains: Drains): void => {
  app.post('/drain', async (c) => c.json(await drains.gateway(timeoutOf(c))))
  app.post('/drain/:backend', async (c) =>
    c.json(await drains.backend(c.req.param('backend'), timeoutOf(c), c.req.raw.signal)),
  )
}

const timeoutOf = (c: Context): number => {
  const timeoutMs = Number(c.req.query('timeoutMs'))
  if (timeoutMs >= 0 && timeoutMs <= 2 ** 31 - 1) return timeoutMs
  throw new InvalidRequest('timeoutMs must be a number of milliseconds', 'timeoutMs')
}
