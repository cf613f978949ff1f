/** What a process holds: memory after a collection, sockets, timers. */
export type Resources = {
  readonly heapMib: number
  readonly residentMib: number
  readonly sockets: number
  readonly timers: number
}

const count = (names: readonly string[], name: string): number =>
  names.filter((one) => one === name).length

/** Of this process. The heap is without garbage where Node runs with `--expose-gc`. */
export const resources = (): Resources => {
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
