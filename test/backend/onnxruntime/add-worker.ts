// Adds 1 to each number of the shared memory that it is given, `runs` times, in its own session.
import { parentPort, workerData } from 'node:worker_threads'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { Tensor } from '../../../backend/onnxruntime/tensor.ts'

if (parentPort === null) throw new Error('started by threads.test.ts only')
const port = parentPort
const data: {
  path: string
  shared: SharedArrayBuffer
  runs: number
  dims: number[]
  inputs: string[]
} = workerData

const environment = new Environment()
const session = new Session(environment, data.path, { intraOpNumThreads: 2 })
const total = new Tensor(environment, new Float32Array(data.shared), data.dims)
const ones = new Tensor(environment, new Float32Array(total.data.length).fill(1), data.dims)
const [x = 'x', w] = data.inputs
const binding = session.bind(w === undefined ? { [x]: ones } : { [x]: total, [w]: ones }, {
  y: total,
})
port.postMessage('running')
for (let run = 0; run < data.runs; run++) binding.run()
environment.close()
