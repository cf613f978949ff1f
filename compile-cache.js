// Plain JavaScript: it works before anything is compiled.
import { lstatSync, mkdirSync } from 'node:fs'
import { constants, enableCompileCache } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Keeps compiled and stripped sources for the next start, of this process and of its threads: it takes half
 * as long then, and each thread has 15 MB less, which Node's TypeScript compiler takes. To be called before
 * anything else is imported.
 */
export const keepCompiled = () => {
  const directory = process.env.NODE_COMPILE_CACHE ?? ownFolder()
  if (directory === null) return
  const { status } = enableCompileCache(directory)
  const { ENABLED, ALREADY_ENABLED } = constants.compileCacheStatus
  // Threads do not inherit it, but look into the environment as processes do.
  if (status === ENABLED || status === ALREADY_ENABLED) process.env.NODE_COMPILE_CACHE = directory
}

/** null: another user has made the folder, and what is in it would be run. */
const ownFolder = () => {
  const uid = process.getuid?.()
  const folder = join(tmpdir(), `burrow-compiled-${uid ?? 'own'}`)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const stat = lstatSync(folder)
    const isOwn = uid === undefined || (stat.uid === uid && (stat.mode & 0o022) === 0)
    return stat.isDirectory() && isOwn ? folder : null
  } catch {
    return null
  }
}
