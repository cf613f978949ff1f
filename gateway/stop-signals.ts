/** When to stop a process that a person started. */
import type { Log } from '../shared/log.ts'

/** Both resolve once and never reject. */
export type Stop = {
  /** Finish what runs, then end. */
  readonly stop: Promise<void>
  /** Do not wait for what runs any longer. */
  readonly hurry: Promise<void>
}

const drainWords = 'stopping: running requests may finish; press Ctrl-C again to cut them'

/** Ctrl-C, SIGTERM or a closed terminal: the first stops, the second hurries, the third kills. */
export const stopSignals = (log: Log, firstWords = drainWords): Stop => {
  const stop = Promise.withResolvers<void>()
  const hurry = Promise.withResolvers<void>()
  let count = 0
  const onSignal = () => {
    count += 1
    if (count === 1) {
      log.info(firstWords)
      stop.resolve()
    } else if (count === 2) {
      log.info('stopping now; press Ctrl-C again to kill')
      hurry.resolve()
    } else {
      process.exit(130)
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, onSignal)
  return { stop: stop.promise, hurry: hurry.promise }
}
