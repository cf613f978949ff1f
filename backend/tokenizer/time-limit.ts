/**
 * Runs what a model's own files decide the length of: the regex of a tokenizer.json, or a chat template,
 * may go on for ever. The memory that it may take is bounded by the time.
 */
import { createContext, Script } from 'node:vm'

export class TimeLimitExceeded extends Error {
  override readonly name = 'TimeLimitExceeded'
}

const sandbox = { run: (): void => {} }
const context = createContext(sandbox)
/** Node stops all that runs under a script, also functions from outside and regexes. */
const script = new Script('run()')

/** It is an Error of the script's own world, thus no instance of this one's. */
const isTimeout = (error: unknown): boolean =>
  typeof error === 'object' &&
  error !== null &&
  'code' in error &&
  error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'

/**
 * Costs some 0.2 ms. Not to be called inside itself.
 * @returns what `run` returns
 * @throws TimeLimitExceeded, or what `run` throws
 */
export const withTimeLimit = <T>(seconds: number, run: () => T): T => {
  const results: T[] = []
  sandbox.run = () => {
    results.push(run())
  }
  try {
    script.runInContext(context, { timeout: seconds * 1000 })
  } catch (error) {
    if (!isTimeout(error)) throw error
    throw new TimeLimitExceeded(`it took longer than ${seconds} s`)
  } finally {
    sandbox.run = () => {}
  }
  return results[0]!
}
