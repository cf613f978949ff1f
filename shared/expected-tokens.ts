/**
 * What a request is expected to cost before it has run, in tokens: gateway and backend count alike, so
 * that what one has sent and what the other reports can be added up.
 */

/** Most answers end long before the room that they are given. */
const longestExpected = 512

/** Tokens that an answer still takes, of the `left` that it may take at most. */
export const expectedAnswerTokens = (left: number = longestExpected): number =>
  Math.min(left, longestExpected)
