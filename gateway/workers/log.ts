/** The log on Workers: the platform's own, a line an event. */
import { lineLog } from '../../shared/log.ts'

export const log = lineLog((line) => console.log(line))
