/** Which of several backends gets a request. Pure: everything it goes by comes in. */

export type Candidate = {
  readonly backendId: string
  /** Tokens in flight, over the backend's weight; see `BackendLoad`. */
  readonly load: number
  readonly openStreams: number
  /** Silent, stalled or flapping: only for want of a better one. */
  readonly isDoubtful: boolean
  /** Grows with each request that a backend gets: the least waited longest. */
  readonly lastChosen: number
}

/**
 * By how many tokens in flight a favourite may be busier than the least busy backend: computing a
 * prompt of 8 KiB anew costs about as much.
 */
export const affinityMarginTokens = 2048

/**
 * The first favourite that is not too busy; else the least busy one, and of equals the one that had no
 * request for the longest time. Null of none.
 * @param favourites backend ids, the best first
 */
export const chooseBackend = <C extends Candidate>(
  candidates: readonly C[],
  favourites: Iterable<string> = [],
): C | null => {
  const sound = candidates.filter(({ isDoubtful }) => !isDoubtful)
  const pool = sound.length > 0 ? sound : candidates
  let least: C | null = null
  for (const candidate of pool) {
    if (least === null || compare(candidate, least) < 0) least = candidate
  }
  if (least === null) return null
  const limit = least.load + affinityMarginTokens
  for (const favourite of favourites) {
    const found = pool.find(({ backendId }) => backendId === favourite)
    if (found && found.load <= limit) return found
  }
  return least
}

const compare = (a: Candidate, b: Candidate): number =>
  // Not their difference: two infinite loads have none.
  a.load === b.load
    ? a.openStreams - b.openStreams || a.lastChosen - b.lastChosen
    : a.load < b.load
      ? -1
      : 1
