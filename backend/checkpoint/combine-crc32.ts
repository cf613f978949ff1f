/**
 * The CRC-32 of bytes whose parts were summed apart. A CRC is a polynomial's remainder, its highest
 * coefficient in the lowest bit: bytes behind a part multiply its own by a power of x.
 */

/** x^32 + x^26 + … + 1, without its first term. */
const divisor = 0xedb88320

const one = 0x80000000
const xToThe8 = 0x00800000

/** The product's remainder. */
const multiply = (a: number, b: number): number => {
  let product = 0
  let shifted = b
  for (let bit = 31; bit >= 0; bit--) {
    if ((a >>> bit) & 1) product ^= shifted
    shifted = shifted & 1 ? (shifted >>> 1) ^ divisor : shifted >>> 1
  }
  return product >>> 0
}

/** @param parts in order */
export const combineCrc32 = (
  parts: readonly { readonly crc32: number; readonly numBytes: number }[],
): number => {
  let sum = 0
  for (const { crc32, numBytes } of parts) {
    let shift = one
    let square = xToThe8
    for (let rest = numBytes; rest > 0; rest = Math.floor(rest / 2)) {
      if (rest % 2 === 1) shift = multiply(square, shift)
      square = multiply(square, square)
    }
    sum = (multiply(shift, sum) ^ crc32) >>> 0
  }
  return sum
}
