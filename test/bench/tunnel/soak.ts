/**
 * A gateway and its backends in bad company, for as long as you like:
 *
 *   npm run soak -- [--minutes 10] [--seed 1] [--backends 3] [--clients 40]
 *
 * In turns of 12 s clients ask for all kinds of work, while a seeded schedule cuts, stalls, slows and
 * darkens the networks between and restarts what is on them. Each second it looks for requests that
 * are stuck. After each turn the networks are well again, and everything must come to rest: answers
 * whole or a true part, books true, every stream free, no socket or timer left. Prints a summary, and
 * exits with 1 if anything was violated. The same seed gives the same faults and the same requests.
 */
import { parseArgs } from 'node:util'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'
import { Books } from './soak/books.ts'
import { slope } from './soak/slope.ts'
import { SoakedSystem } from './soak/system.ts'
import { Turns } from './soak/turn.ts'
import { Violations } from './soak/violations.ts'
import { Workshop } from './soak/workshop.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    backends: { type: 'string', default: '3' },
    clients: { type: 'string', default: '40' },
  },
})

/** A leak of one small object a request would be seen; the collector's moods would not. */
const maxHeapMibPerMinute = 1
/** Before that, code is still compiled and caches fill. */
const warmUpTurns = 5

const endsAt = performance.now() + Number(values.minutes) * 60_000
const seed = Number(values.seed)
const home = makeTempFolder()
const violations = new Violations()
const workshop = new Workshop(violations)
const system = await SoakedSystem.start({
  home,
  seed,
  workshop,
  numBackends: Number(values.backends),
})
const books = new Books(home)
const turns = new Turns({
  seed,
  system,
  workshop,
  books,
  violations,
  numClients: Number(values.clients),
})

const startedAt = performance.now()
let numTurns = 0
do {
  await turns.run(numTurns++)
  const { heapMib, residentMib } = turns.rests.at(-1) ?? { heapMib: 0, residentMib: 0 }
  const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1)
  console.error(
    `${minutes} min, turn ${numTurns}: ${turns.outcomes.toString()}; ` +
      `heap ${heapMib.toFixed(1)} MiB, resident ${residentMib.toFixed(0)} MiB`,
  )
} while (performance.now() < endsAt)

const perTurnMinutes = (performance.now() - startedAt) / 60_000 / numTurns
const warm = turns.rests.slice(warmUpTurns)
const heapSlope = slope(warm.map(({ heapMib }) => heapMib)) / perTurnMinutes
const residentSlope = slope(warm.map(({ residentMib }) => residentMib)) / perTurnMinutes
const isMeasured = warm.length >= warmUpTurns
if (isMeasured && heapSlope > maxHeapMibPerMinute) {
  violations.add(`the heap grows by ${heapSlope.toFixed(2)} MiB a minute`)
}

await system.close()
books.close()
removeFolder(home)

const growth = isMeasured
  ? `heap ${heapSlope.toFixed(2)}, resident ${residentSlope.toFixed(2)} MiB a minute`
  : `not measured in ${numTurns} turns`
console.log(`seed ${seed}, ${numTurns} turns
requests   ${turns.outcomes.toString()}
faults     ${turns.faults.toString()}
books      ${turns.sources.toString()}
growth     ${growth}
violations ${violations.count}`)
for (const violation of violations.list) console.log(`  ${violation}`)
process.exit(violations.count === 0 ? 0 : 1)
