/** A backend that `burrow up` has started, and its parent. */
import { drainMessage, type FromLocalBackend } from '../gateway/local-backend.ts'
import type { Stop } from '../gateway/stop-signals.ts'

/** Returns when the message has left. */
export const tellParent = (message: FromLocalBackend): Promise<void> =>
  new Promise((resolve) => {
    if (process.connected) process.send?.(message, () => resolve())
    else resolve()
  })

/** The parent says when, by word or by its end. A terminal's signals reach both: the parent decides. */
export const parentStop = (): Stop => {
  const stop = Promise.withResolvers<void>()
  for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {})
  process.on('SIGTERM', () => stop.resolve())
  process.on('disconnect', () => stop.resolve())
  process.on('message', (message) => {
    if (message === drainMessage) stop.resolve()
  })
  return { stop: stop.promise, hurry: new Promise(() => {}) }
}
