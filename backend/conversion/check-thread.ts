/** One thread that compares ranges of files with their checksums. Started by verify.ts. */
import { parentPort } from 'node:worker_threads'
import { isRight, type RangeToCheck } from './check-range.ts'

if (parentPort === null) throw new Error('a thread that compares checksums is started by verify.ts')
const port = parentPort

port.on('message', (message: RangeToCheck | 'end') => {
  if (message === 'end') port.close()
  else port.postMessage(isRight(message))
})
