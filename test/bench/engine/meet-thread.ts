// One of the threads whose meetings sharding.ts times.
import { workerData } from 'node:worker_threads'
import { Signals } from '../../../backend/sharding/signals.ts'

const { memory, spins, numThreads, numMeetings } = workerData
const signals = new Signals(memory, 0, spins)
for (let i = 0; i < numMeetings; i++) signals.meet(0, numThreads)
