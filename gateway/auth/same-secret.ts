/** Comparing secrets. */
import { createHash, timingSafeEqual } from 'node:crypto'

const digest = (text: string): Uint8Array => createHash('sha256').update(text).digest()

/** Whether they are equal, in a time that does not tell where they differ. */
export const isSameSecret = (presented: string, secret: string): boolean =>
  timingSafeEqual(digest(presented), digest(secret))
