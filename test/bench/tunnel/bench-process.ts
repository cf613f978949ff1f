/** A process of the bench: started, ready, measured from outside, and ended with the bench. */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { resourcesQuestion } from './processes/child-port.ts'
import type { Resources } from './resources.ts'

export type Memory = { readonly residentMib: number; readonly peakMib: number }

export class BenchProcess {
  readonly child: ChildProcess

  private constructor(child: ChildProcess) {
    this.child = child
    child.once('exit', (code, signal) => {
      if (!this.#isStopping) console.error(`${child.spawnargs.join(' ')}: ${signal ?? code}`)
    })
  }

  /**
   * Runs a script under `processes/` and waits until it says that it is ready, with its details.
   * @throws when it ends before
   */
  static async script<Details>(
    name: string,
    settings: object = {},
    execArgv: readonly string[] = [],
  ): Promise<BenchProcess & { readonly details: Details }> {
    const path = fileURLToPath(new URL(`processes/${name}.ts`, import.meta.url))
    const child = fork(path, [JSON.stringify(settings)], {
      execArgv: [...execArgv],
      stdio: ['ignore', 2, 2, 'ipc'],
    })
    const process = new BenchProcess(child)
    const [message] = await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(([code]) => {
        throw new Error(`${name} ended with ${code} before it was ready`)
      }),
    ])
    const { ready }: { readonly ready: Details } = message
    return Object.assign(process, { details: ready })
  }

  static program(command: string, args: readonly string[]): BenchProcess {
    return new BenchProcess(spawn(command, args, { stdio: ['ignore', 2, 2] }))
  }

  #isStopping = false

  /** Sends a message and waits for the answer; one at a time. */
  async ask<Answer>(message: object | string): Promise<Answer> {
    this.child.send(message)
    const [answer] = await once(this.child, 'message')
    return answer
  }

  /** Of a script: what it says of itself. */
  resources(): Promise<Resources> {
    return this.ask(resourcesQuestion)
  }

  /** As Linux counts it. */
  memory(): Memory {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8')
    const mib = (field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
    return { residentMib: mib('VmRSS'), peakMib: mib('VmHWM') }
  }

  /** User and system time used so far, ms. */
  cpuMs(): number {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10 // ticks of 1/100 s
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    this.child.kill('SIGTERM')
    await once(this.child, 'exit')
  }
}
