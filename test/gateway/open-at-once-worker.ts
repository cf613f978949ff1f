/** A thread of open-at-once.test.ts: opens what it is told to, round by round, all at one moment. */
import { parentPort, workerData } from 'node:worker_threads'
import { openPepper } from '../../gateway/auth/pepper.ts'
import { openDatabase } from '../../gateway/db/open.ts'

export type Round = { readonly pepper: string; readonly database: string }
export type Told = { readonly peppers: readonly string[]; readonly errors: readonly string[] }

type Input = {
  readonly rounds: readonly Round[]
  readonly migrations: string
  readonly threads: number
  readonly arrived: SharedArrayBuffer
}

const { rounds, migrations, threads, arrived }: Input = workerData
const counter = new Int32Array(arrived)
const peppers: string[] = []
const errors: string[] = []
for (const [i, { pepper, database }] of rounds.entries()) {
  Atomics.add(counter, 0, 1)
  // Spinning, so that all go on within microseconds.
  while (Atomics.load(counter, 0) < (i + 1) * threads);
  try {
    const { key } = await openPepper(pepper)
    peppers.push(key.export().toString('hex'))
    const { close } = await openDatabase(database, migrations)
    close()
  } catch (error) {
    errors.push(String(error))
  }
}
parentPort?.postMessage({ peppers, errors } satisfies Told, [])
