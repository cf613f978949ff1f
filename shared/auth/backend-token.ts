/** What both sides know of a backend token: a short-lived JWT that the backend signs for itself. */

/** The only signature that is taken, and the only audience. */
export const tokenAlgorithm = 'EdDSA'
export const tokenAudience = 'burrow-tunnel'

/** A stolen token is of use for so long at most; the backend sends a fresh one at half of it. */
export const tokenLifetimeMs = 10 * 60_000

/** By how much the two clocks may differ. */
export const clockSkewMs = 30_000
