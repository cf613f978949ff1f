// Opens ONNX Runtime in the thread that it is given, for telemetry.test.ts.
import { isMainThread, Worker } from 'node:worker_threads'
import { Environment } from '../../../backend/onnxruntime/environment.ts'

if (isMainThread && process.argv.includes('worker')) {
  const worker = new Worker(new URL(import.meta.url))
  worker.on('error', (error) => {
    throw error
  })
} else {
  new Environment().close()
}
