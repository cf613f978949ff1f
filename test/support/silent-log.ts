/** For tests that do not look at the log. */
import type { Log } from '../../shared/log.ts'

export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} }
