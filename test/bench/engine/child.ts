/** A process of its own for each system that is measured: memory of its own, and nothing warm but files. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { scratchPath } from './scratch.ts'

/** A child that says nothing for so long hangs. */
const timeoutMs = 600_000

export type ChildOptions = {
  /** Options of Node itself. */
  readonly execArgv?: readonly string[]
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Starts a script beside this file, which finds its settings by {@link childSettings}.
 * @param settings as JSON
 */
export const startChild = (
  script: string,
  settings: object,
  { execArgv = [], env = {} }: ChildOptions = {},
): ChildProcess => {
  const path = fileURLToPath(new URL(script, import.meta.url))
  return spawn(process.execPath, [...execArgv, path, JSON.stringify(settings)], {
    // Compiled sources are kept as by burrow.js; without it each thread would strip types for itself, the peer's too.
    env: { ...process.env, NODE_COMPILE_CACHE: scratchPath('compiled'), ...env },
    // The channel is for messages, and for the child to see that nobody waits for it any more.
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    timeout: timeoutMs,
  })
}

/**
 * Runs a script that prints what it measured as one line of JSON.
 * @throws when it fails, hangs or prints no JSON
 */
export const measureInChild = async <Result>(
  script: string,
  settings: object,
  options: ChildOptions = {},
): Promise<Result> => {
  const child = startChild(script, settings, options)
  const chunks: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
  const [code, signal] = await once(child, 'close')
  const lines = Buffer.concat(chunks).toString().trim().split('\n')
  const last = lines.at(-1) ?? ''
  if (code === 0 && last.startsWith('{')) return JSON.parse(last)
  throw new Error(`${script} ${JSON.stringify(settings)} ended with ${code ?? signal}: ${last}`)
}

/** What {@link startChild} gave this process, which from now on ends when its parent does. */
export const childSettings = <Settings>(): Settings => {
  process.once('disconnect', () => process.exit(1))
  process.channel?.unref()
  return JSON.parse(process.argv[2] ?? '{}')
}

export const report = (result: object): void => console.log(JSON.stringify(result))
