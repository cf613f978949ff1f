/** How the tests of a running system ask. */
import { eventually } from '../support/eventually.ts'
import type { RunningBurrow } from '../support/running-burrow.ts'

/** The name that it serves the bundled model under. */
export const model = 'tigerbot'

export const user = (content: string) => ({ role: 'user' as const, content })

/** The one usage record of a request, once it is written. */
export const recordOf = (burrow: RunningBurrow, response: Response) => {
  const requestId = response.headers.get('x-request-id')
  return eventually(() => burrow.usage().find((row) => row.request_id === requestId))
}
