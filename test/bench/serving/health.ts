/**
 * How long `/health` takes while decoding keeps every core busy: `node test/bench/serving/health.ts [seconds]`
 *
 * Starts Burrow as a user does, keeps 16 streams running, and asks the gateway's and the backend's
 * `/health` (this through control socket and tunnel) every few milliseconds from a thread of its own, so
 * that reading the streams does not count. Next to them the delay of a timer in that thread: what the
 * machine alone makes everybody wait.
 */
import { availableParallelism, loadavg } from 'node:os'
import { Worker } from 'node:worker_threads'
import { RunningBurrow } from '../../support/running-burrow.ts'
import type { HealthTimes } from './health-prober.ts'

const seconds = Number(process.argv[2] ?? 10)

/** Streams follow each other until `signal`. @returns how many tokens came */
const keepStreaming = async (burrow: RunningBurrow, signal: AbortSignal): Promise<number> => {
  let tokens = 0
  while (!signal.aborted) {
    const response = await burrow.post('/v1/completions', {
      model: burrow.model,
      prompt: '\n\n### Instruction:\ncount from 1 to 300',
      max_tokens: 400,
      ignore_eos: true,
      temperature: 0.3,
      stream: true,
    })
    if ((await response.text()).includes('[DONE]')) tokens += 400
  }
  return tokens
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN

const printRow = (form: string, what: string, times: readonly number[]): void => {
  const sorted = times.toSorted((a, b) => a - b)
  const columns = [0.5, 0.9, 0.99, 1].map((share) => percentile(sorted, share).toFixed(1))
  process.stdout.write(`| ${[form, what, times.length, ...columns].join(' | ')} |\n`)
}

const measure = async (
  form: string,
  args: readonly string[],
  numStreams: number,
): Promise<void> => {
  const burrow = await RunningBurrow.start(args)
  const over = new AbortController()
  const streams = Array.from({ length: numStreams }, () => keepStreaming(burrow, over.signal))
  // Until all of them decode.
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  const startedAt = performance.now()
  const prober = new Worker(new URL('./health-prober.ts', import.meta.url), {
    workerData: { url: burrow.url, home: burrow.home, ms: seconds * 1_000 },
  })
  const times = await new Promise<HealthTimes>((resolve, reject) => {
    prober.once('message', resolve).once('error', reject)
  })
  over.abort()
  const tokens = (await Promise.all(streams)).reduce((sum, count) => sum + count, 0)
  const ms = performance.now() - startedAt
  printRow(form, 'gateway', times.gateway)
  printRow(form, 'backend', times.backend)
  printRow(form, 'a timer of 5 ms', times.timer)
  if (numStreams > 0) {
    const rate = tokens / ((ms + 2_000) / 1_000)
    process.stdout.write(`| ${form} | ${rate.toFixed(0)} tokens/s | | | | | |\n`)
  }
  await burrow.stop()
}

process.stdout.write(
  `load before: ${loadavg()[0]?.toFixed(1)} on ${availableParallelism()} cores\n`,
)
process.stdout.write('| | ms | count | p50 | p90 | p99 | max |\n|---|---|---|---|---|---|---|\n')
await measure('idle', [], 0)
await measure('one rank', [], 16)
await measure('two tensor ranks', ['--tensor-parallel-size', '2'], 16)
