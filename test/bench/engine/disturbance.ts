/** How much of the machine somebody else had while a process was measured. Linux. */
import { readFileSync } from 'node:fs'

/** USER_HZ, in which /proc counts. */
const ticksPerSecond = 100

/** More than this of one core, by average, and a turn says little. */
const tolerated = 0.1

/** What all cores did but wait, and what the host took from them. */
const busyTicks = (): number => {
  const [, ...fields] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.split(/\s+/) ?? []
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = fields.map(Number)
  return user + nice + system + irq + softIrq + steal
}

/** Of all its threads. */
const processTicks = (pid: number): number => {
  // What is before is the program's name, which may have spaces.
  const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
  const fields = rest.split(' ').map(Number)
  return (fields[11] ?? 0) + (fields[12] ?? 0)
}

/** @returns a function that tells whether it was disturbed since */
export const watchDisturbance = (pid: number): (() => boolean) => {
  const otherTicks = (): number => busyTicks() - processTicks(pid)
  const startedAt = performance.now()
  const before = otherTicks()
  return () => {
    const seconds = (performance.now() - startedAt) / 1000
    return (otherTicks() - before) / ticksPerSecond > tolerated * seconds
  }
}
