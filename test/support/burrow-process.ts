/** Burrow as a user starts it: `node burrow.js …` in a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const burrowJs = fileURLToPath(new URL('../../burrow.js', import.meta.url))

/** A program of Node's, what it prints, and how it ends. */
export class ProgramProcess {
  readonly child: ChildProcess
  #output = ''
  readonly #waiters = new Set<() => void>()

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text
        for (const wake of this.#waiters) wake()
      })
    }
    this.child.on('exit', () => {
      for (const wake of this.#waiters) wake()
    })
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** All that it has printed so far, both streams. */
  get output(): string {
    return this.#output
  }

  /** The first match of `pattern` in the output; rejects when the process ends without one. */
  async printed(pattern: RegExp, timeoutMs = 30_000): Promise<RegExpExecArray> {
    const deadline = AbortSignal.timeout(timeoutMs)
    for (;;) {
      const match = pattern.exec(this.#output)
      if (match) return match
      if (!this.isRunning || deadline.aborted) {
        throw new Error(`no ${pattern} in the output:\n${this.#output}`)
      }
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiters.delete(wake)
          deadline.removeEventListener('abort', wake)
          resolve()
        }
        this.#waiters.add(wake)
        deadline.addEventListener('abort', wake)
      })
    }
  }

  /** The exit code once it has ended by itself, or the signal that ended it. */
  async exited(): Promise<number | NodeJS.Signals> {
    if (this.isRunning) await once(this.child, 'exit')
    return this.child.signalCode ?? this.child.exitCode ?? -1
  }

  /** Ctrl-C. */
  async interrupt(): Promise<number | NodeJS.Signals> {
    this.child.kill('SIGINT')
    return this.exited()
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited()
  }
}

export class BurrowProcess extends ProgramProcess {
  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    super([burrowJs, ...args], env)
  }
}

/** Runs a command that ends by itself; one that does not is killed, and its code is null. */
export const runBurrow = async (
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
) => {
  const child = spawn(process.execPath, [burrowJs, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}

/** Runs a command with `--json` and parses what it prints. */
export const runJson = async (
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
) => {
  const { code, stdout, stderr } = await runBurrow([...args, '--json'], env)
  if (code !== 0) throw new Error(`burrow ${args.join(' ')} ended with ${code}: ${stderr}`)
  return JSON.parse(stdout)
}

/** Processes that `pid` started and that still run (Linux). */
export const childPids = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
