/** One thread of a conversion: does the pieces that it is sent. Started by write-pieces.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import type { ModelConfig } from '../checkpoint/config.ts'
import { PieceWriter } from './piece-writer.ts'
import type { Piece } from './pieces.ts'

export type PieceThreadData = {
  readonly outputs: readonly string[]
  readonly config: ModelConfig
}

if (parentPort === null) throw new Error('a thread of a conversion is started by write-pieces.ts')
const port = parentPort
const { outputs, config }: PieceThreadData = workerData
const writer = new PieceWriter(outputs, config)

port.on('message', (message: Piece | 'end') => {
  if (message !== 'end') return port.postMessage(writer.write(message))
  writer.close()
  return port.close()
})
