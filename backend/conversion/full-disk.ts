/** A disk that ran full while a conversion was written. */

/** Of a disk, and of a user's share of it. */
const fullCodes: readonly unknown[] = ['ENOSPC', 'EDQUOT']

const isFull = (error: unknown): boolean =>
  error instanceof Error &&
  (('code' in error && fullCodes.includes(error.code)) || isFull(error.cause))

/**
 * Runs `use`, after which what was written stays.
 * @param folder on the disk that is written to
 * @throws what `use` throws; Error that says what to do when that is for want of room
 */
export const tellFullDisk = async <T>(folder: string, use: () => Promise<T>): Promise<T> => {
  try {
    return await use()
  } catch (cause) {
    if (!isFull(cause)) throw cause
    throw new Error(
      `no room left on the disk of ${folder}: free some; the same command goes on where it was`,
      { cause },
    )
  }
}
