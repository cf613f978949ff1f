/** What this process holds: memory after a collection, sockets, timers. */
export type Resources = {
  readonly heapMib: number
  readonly residentMib: number
  readonly sockets: number
  readonly timers: number
}

const count = (names: readonly string[], name: string): number =>
  names.filter((one) => one === name).length

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

/** How much a series grows for each of its steps: the slope of the line that fits it best. */
export const slope = (values: readonly number[]): number => {
  const middle = (values.length - 1) / 2
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  let above = 0
  let below = 0
  values.forEach((value, i) => {
    above += (i - middle) * (value - mean)
    below += (i - middle) ** 2
  })
  return below === 0 ? 0 : above / below
}
