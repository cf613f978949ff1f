/** Public ids and random text: base62, which a double-click selects whole. */

export const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** `length` characters of base62, each uniform: 5.95 bits apiece. */
export const randomBase62 = (length: number): string => {
  let text = ''
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length))) {
      // 248 = 4 * 62: higher bytes would favour the first characters.
      if (byte < 248 && text.length < length) text += base62[byte % 62]
    }
  }
  return text
}

export type IdPrefix = 'key' | 'be' | 'req' | 'grant'

/** A fresh id such as `key_4fGh…`: 119 random bits, public, of no use as a secret. */
export const newId = (prefix: IdPrefix): string => `${prefix}_${randomBase62(20)}`
