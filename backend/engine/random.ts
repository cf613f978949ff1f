/** Pseudo-random numbers with a small state, so that each request has its own reproducible source. */

export interface Random {
  /** Uniform in [0, 1), 53 bits. */
  next(): number
}

/**
 * sfc32 by Chris Doty-Humphrey (PractRand), its state filled from `seed` (any safe integer) by
 * splitmix32.
 */
export const seededRandom = (seed: number): Random => {
  // The two halves fill different words, so different seeds give different states.
  let a = splitmix32(seed >>> 0)
  let b = splitmix32(Math.floor(seed / 2 ** 32) >>> 0)
  let c = splitmix32(a ^ b)
  let counter = 1
  const next32 = (): number => {
    const result = (a + b + counter) >>> 0
    counter = (counter + 1) >>> 0
    a = (b ^ (b >>> 9)) >>> 0
    b = (c + (c << 3)) >>> 0
    c = (((c << 21) | (c >>> 11)) + result) >>> 0
    return result
  }
  for (let i = 0; i < 12; i++) next32()
  return { next: () => (next32() * 2 ** 21 + (next32() >>> 11)) / 2 ** 53 }
}

const splitmix32 = (state: number): number => {
  let z = (state + 0x9e3779b9) >>> 0
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
  return (z ^ (z >>> 15)) >>> 0
}

/**
 * The seed of choice `index` of a request with `n` choices: seed + index, as vLLM has it, so that
 * choice i is what a request of one choice with that seed gives. Wraps at the largest safe integer.
 */
export const choiceSeed = (seed: number, index: number): number =>
  seed <= Number.MAX_SAFE_INTEGER - index
    ? seed + index
    : Number.MIN_SAFE_INTEGER + (index - (Number.MAX_SAFE_INTEGER - seed) - 1)
