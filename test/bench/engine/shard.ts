// How fast `burrow shard` is against `cp` of the same bytes, and how much memory it takes.
//   node test/bench/engine/shard.ts [GB] [ROUNDS] [flags of burrow shard …]
// It writes three times GB (default 1) below the current folder, and removes it again. The checkpoint is
// of random bfloat16 numbers. Every run begins without the checkpoint in the page cache and ends with
// all of its output on disk.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeRandomCheckpoint } from './random-checkpoint.ts'

const [gigabytes = '1', rounds = '2', ...flags] = process.argv.slice(2)
const folder = mkdtempSync(resolve('shard-bench-'))
const source = join(folder, 'model')
const burrowJs = fileURLToPath(new URL('../../../burrow.js', import.meta.url))

const filesOf = (path: string): string[] => readdirSync(path).map((name) => join(path, name))

const dropFromCache = (path: string): void => {
  for (const file of filesOf(path)) {
    spawnSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none'])
  }
}

const seconds = async (work: () => Promise<void> | void): Promise<number> => {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

const copy = (): void => {
  const to = join(folder, 'copy')
  const { status } = spawnSync('cp', ['-r', source, to])
  spawnSync('sync', filesOf(to))
  if (status !== 0) throw new Error(`cp ended with ${status}`)
}

/** The peak of its resident memory, in MiB. */
const burrow = (args: readonly string[]): Promise<number> => {
  const child = spawn(process.execPath, [burrowJs, 'shard', ...args], { stdio: 'inherit' })
  let peak = 0
  const sample = setInterval(() => {
    const status = readFileSync(`/proc/${child.pid}/status`, { encoding: 'utf8', flag: 'r' })
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
  }, 100)
  return new Promise((done, fail) => {
    child.on('exit', (code) => {
      clearInterval(sample)
      if (code === 0) done(peak)
      else fail(new Error(`burrow shard ended with ${code}`))
    })
  })
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN

const rate = (bytes: number, time: number): string =>
  `${time.toFixed(1)} s, ${(bytes / 1e6 / time).toFixed(0)} MB/s`

try {
  const numBytes = writeRandomCheckpoint(source, Number(gigabytes) * 1e9)
  console.log(`checkpoint: ${(numBytes / 1e9).toFixed(2)} GB in ${filesOf(source).length} files`)
  const copies: number[] = []
  const conversions: number[] = []
  const out = join(folder, 'converted')
  for (let round = 0; round < Number(rounds); round++) {
    rmSync(out, { recursive: true, force: true })
    dropFromCache(source)
    copies.push(await seconds(copy))
    rmSync(join(folder, 'copy'), { recursive: true })
    dropFromCache(source)
    let peak = 0
    conversions.push(
      await seconds(async () => {
        peak = await burrow([source, '--out', out, ...flags])
      }),
    )
    console.log(
      `round ${round + 1}: cp ${rate(numBytes, copies.at(-1) ?? 0)}; ` +
        `burrow shard ${rate(numBytes, conversions.at(-1) ?? 0)}, peak ${peak.toFixed(0)} MiB`,
    )
  }
  const outBytes = filesOf(out).reduce((sum, file) => sum + statSync(file).size, 0)
  console.log(`converted: ${(outBytes / 1e9).toFixed(2)} GB`)
  console.log(`burrow shard / cp: ${(median(conversions) / median(copies)).toFixed(2)}`)
  dropFromCache(out)
  let peak = 0
  const time = await seconds(async () => {
    peak = await burrow(['--verify', out])
  })
  console.log(`read back by checksum: ${rate(outBytes, time)}, peak ${peak.toFixed(0)} MiB`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
