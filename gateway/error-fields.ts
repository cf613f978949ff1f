/** How an unforeseen error is written to the log. */
import type { LogFields } from '../shared/log.ts'

/**
 * The innermost cause and where it arose. Drizzle's own messages quote a query's parameters, so
 * the messages around the cause are left out.
 */
export const errorFields = (error: unknown): LogFields => {
  let cause = error
  while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause
  if (!(cause instanceof Error)) return { error: String(cause) }
  const at = cause.stack?.split('\n').find((line) => /^\s+at /.test(line))
  return { error: `${cause.name}: ${cause.message}`, at: at?.trim() }
}
