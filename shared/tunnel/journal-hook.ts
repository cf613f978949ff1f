/** Hands a final count to the backend's journal before END leaves. SPEC.md, "Usage that survives". */
import type { Counted } from './exchange.ts'
import type { Link } from './link.ts'

/**
 * What a crash must not lose is written down first; but a disk that fails or hangs stops nothing:
 * waits for at most `settleMs`, and never rejects.
 */
export const journal = async (
  write: ((counted: Counted) => void | Promise<void>) | undefined,
  counted: Counted,
  { timing, log }: Pick<Link, 'timing' | 'log'>,
): Promise<void> => {
  if (!write) return
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error('timed out')), timing.settleMs)
  try {
    await Promise.race([write(counted), late.promise])
  } catch (error) {
    log.error('final usage was not journalled', {
      requestId: counted.requestId,
      error: String(error),
    })
  } finally {
    clearTimeout(timer)
  }
}
