/** Where the benches keep what they download, install and convert: `.scratch`, which git ignores. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const scratch = fileURLToPath(new URL('../../../.scratch/', import.meta.url))

/** A path below the scratch folder; the folder that is to hold it exists afterwards. */
export const scratchPath = (folder: string, ...names: readonly string[]): string => {
  mkdirSync(join(scratch, folder), { recursive: true })
  return join(scratch, folder, ...names)
}

/**
 * Runs a program that is to make `path`, unless it is there already.
 * @throws with what the program said when it fails
 */
export const makeOnce = (path: string, command: string, args: readonly string[], cwd: string) => {
  if (existsSync(path)) return
  console.error(`${command} ${args.join(' ')}`)
  // Its output goes to stderr: stdout is for tables.
  execFileSync(command, args, { cwd, stdio: ['ignore', 2, 2] })
  if (!existsSync(path)) throw new Error(`${command} did not make ${path}`)
}
