/** The memory of this process over a long run: a table of samples, and a fitted slope after the warm-up. */

const mib = 1024 * 1024

type Sample = {
  readonly done: number
  readonly rss: number
  readonly heapUsed: number
  readonly external: number
}

/** Least squares: how much y grows for each x. */
const slope = (points: readonly (readonly [number, number])[]): number => {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length
  const xy = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0)
  const xx = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
  return xy / xx
}

export class MemoryCurve {
  readonly #samples: Sample[] = []
  readonly #unit: string

  /** @param unit what is counted, e.g. `runs` */
  constructor(unit: string) {
    this.#unit = unit
    process.stdout.write(`${unit}\tRSS MiB\theapUsed\texternal\n`)
  }

  /** RSS is the whole process; heap and external are this thread's, after a collection if exposed. */
  sample(done: number): void {
    globalThis.gc?.()
    const { rss, heapUsed, external } = process.memoryUsage()
    this.#samples.push({ done, rss, heapUsed, external })
    const columns = [rss, heapUsed, external].map((bytes) => (bytes / mib).toFixed(1))
    process.stdout.write(`${[done, ...columns].join('\t')}\n`)
  }

  /** Over the second half of the samples: the first fills caches and pools. */
  printSlope(): void {
    const half = this.#samples.slice(Math.floor(this.#samples.length / 2))
    for (const key of ['rss', 'heapUsed', 'external'] as const) {
      const bytes = slope(half.map((sample) => [sample.done, sample[key]]))
      process.stdout.write(`${key}: ${bytes.toFixed(1)} bytes for each of the ${this.#unit}\n`)
    }
  }
}
