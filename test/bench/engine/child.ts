/** Measures in a process of its own: alone on the machine, with memory of its own, and nothing warm but files. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A child that says nothing for so long hangs. */
const timeoutMs = 600_000

/**
 * Runs a script that prints what it measured as one line of JSON.
 * @param script beside this file
 * @param settings its argument, as JSON
 * @param execArgv options of Node itself
 * @param env added to the environment
 * @throws when it fails, hangs or prints no JSON
 */
export const measureInChild = async <Result>(
  script: string,
  settings: object,
  execArgv: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Result> => {
  const path = fileURLToPath(new URL(script, import.meta.url))
  const args = [...execArgv, path, JSON.stringify(settings)]
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    // The channel is for the child to see that nobody waits for it any more.
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    timeout: timeoutMs,
  })
  const chunks: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
  const [code, signal] = await once(child, 'close')
  const lines = Buffer.concat(chunks).toString().trim().split('\n')
  const last = lines.at(-1) ?? ''
  if (code === 0 && last.startsWith('{')) return JSON.parse(last)
  throw new Error(`${script} ${JSON.stringify(settings)} ended with ${code ?? signal}: ${last}`)
}

/** What {@link measureInChild} gave this process, which from now on ends when its parent does. */
export const childSettings = <Settings>(): Settings => {
  process.once('disconnect', () => process.exit(1))
  process.channel?.unref()
  return JSON.parse(process.argv[2] ?? '{}')
}

export const report = (result: object): void => console.log(JSON.stringify(result))
