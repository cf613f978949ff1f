/** Who waits when there are more threads than cores. */
import { constants, getPriority, setPriority } from 'node:os'

/** A third of the weight that the scheduler gives to others. */
const niceness = 5

/**
 * Lowers the priority of the calling thread and of those that it starts from now on. Computing takes all
 * the cores that it gets; threads that answer HTTP need little, but at once.
 *
 * On Linux a priority is a thread's own; elsewhere the call would be for the process, so nothing is done.
 */
export const computeInBackground = (): void => {
  if (process.platform !== 'linux') return
  try {
    setPriority(Math.min(constants.priority.PRIORITY_LOW, getPriority() + niceness))
  } catch {
    // A sandbox that forbids it: answers are slower while it computes.
  }
}
