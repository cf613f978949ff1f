/** What a process holds: memory after a collection, sockets, timers. */
import { setTimeout as sleep } from 'node:timers/promises'

export type Resources = {
  readonly heapMib: number
  readonly residentMib: number
  readonly sockets: number
  readonly timers: number
}

const count = (names: readonly string[], name: string): number =>
  names.filter((one) => one === name).length

/** Of this process. The heap is without garbage where Node runs with `--expose-gc`. */
export const resources = async (): Promise<Resources> => {
  // Much of what signals and requests hold goes only after finalizers have run: a second time then.
  globalThis.gc?.()
  await sleep(300)
  globalThis.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  const active = process.getActiveResourcesInfo()
  return {
    heapMib: (heapUsed + external) / 2 ** 20,
    residentMib: rss / 2 ** 20,
    sockets: count(active, 'TCPSocketWrap'),
    timers: count(active, 'Timeout'),
  }
}
