/** What a command says of its work: lines on standard error. */
import { lineLog } from '../shared/log.ts'

export const log = lineLog((line) => process.stderr.write(`${line}\n`))
