/**
 * Starts Burrow as a user does and measures it: time to "up", cold start to the first answer, memory of both processes,
 * tokens a second through gateway and tunnel at 1 and 16 streams. Medians of several rounds, interleaved.
 *
 *   node test/bench/serving/run.ts [rounds]
 */
import { readFileSync } from 'node:fs'
import { childPids } from '../../support/burrow-process.ts'
import { RunningBurrow } from '../../support/running-burrow.ts'

const rounds = Number(process.argv[2] ?? 5)
const tokensPerStream = 400

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** Resident memory in MiB. */
const residentMib = (pid: number): number => {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}

const ask = (burrow: RunningBurrow): Promise<unknown> =>
  burrow
    .post('/v1/chat/completions', {
      model: burrow.model,
      messages: [{ role: 'user', content: '3+5=?' }],
    })
    .then((response) => response.json())

/** Tokens a second over all streams together. */
const tokensPerSecond = async (burrow: RunningBurrow, streams: number): Promise<number> => {
  const startedAt = performance.now()
  const bodies = Array.from({ length: streams }, async (_, i) => {
    const response = await burrow.post('/v1/completions', {
      model: burrow.model,
      prompt: `\n\n### Instruction:\ncount from ${i} to 300`,
      max_tokens: tokensPerStream,
      ignore_eos: true,
      temperature: 0.3,
      stream: true,
    })
    return (await response.text()).includes('[DONE]')
  })
  if (!(await Promise.all(bodies)).every(Boolean)) throw new Error('a stream failed')
  return (streams * tokensPerStream) / ((performance.now() - startedAt) / 1000)
}

const up: number[] = []
const coldStart: number[] = []
const single: number[] = []
const sixteen: number[] = []
const gatewayMib: number[] = []
const backendMib: number[] = []

for (let round = 0; round < rounds; round++) {
  const startedAt = performance.now()
  const burrow = await RunningBurrow.start()
  up.push(performance.now() - startedAt)
  await ask(burrow)
  coldStart.push(performance.now() - startedAt)
  single.push(await tokensPerSecond(burrow, 1))
  sixteen.push(await tokensPerSecond(burrow, 16))
  const gatewayPid = burrow.process.child.pid ?? 0
  gatewayMib.push(residentMib(gatewayPid))
  backendMib.push(residentMib(childPids(gatewayPid)[0] ?? 0))
  await burrow.stop()
}

const row = (name: string, values: readonly number[], unit: string) =>
  console.log(`| ${name} | ${median(values).toFixed(0)} ${unit} |`)

console.log(`| median of ${rounds} | |\n|---|---|`)
row('start to "up" (first start: the model is converted)', up, 'ms')
row('start to the first answer', coldStart, 'ms')
row('1 stream', single, 'tokens/s')
row('16 streams', sixteen, 'tokens/s')
row(
  '16 streams to 1',
  sixteen.map((value, i) => (100 * value) / (single[i] ?? 1)),
  '%',
)
row('memory of the gateway, after', gatewayMib, 'MiB')
row('memory of the backend, after', backendMib, 'MiB')
