/** Memory of this process, as Linux counts it. */
import { readFileSync } from 'node:fs'

export type Memory = {
  /** All that is resident, mapped files included. */
  readonly residentMib: number
  /** What no file stands behind. */
  readonly anonymousMib: number
}

export const processMemory = (): Memory => {
  const status = readFileSync('/proc/self/status', 'utf8')
  const mib = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return { residentMib: mib('VmRSS'), anonymousMib: mib('RssAnon') }
}
