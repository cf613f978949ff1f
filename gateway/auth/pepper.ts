/**
 * The pepper: a secret beside the database under which credentials are digested, so that a stolen
 * database alone confirms no guess. One line: `<version>:<64 hex digits>`.
 */
import { createHash, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { link, readFile, rm, stat, writeFile } from 'node:fs/promises'

export type Pepper = {
  /** Names the pepper in the rows that it made; tells nothing about the secret. */
  readonly version: string
  /** Made once: of bytes, each HMAC would make it anew, at nine times the cost. */
  readonly key: KeyObject
}

/**
 * Reads the pepper from `file`, which is made at first. Processes that do so at once get the same
 * one. Fails, with what to do, if others can read the file or it is damaged.
 */
export const openPepper = async (file: string): Promise<Pepper> => {
  try {
    return await readPepper(file)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  await createPepper(file)
  return readPepper(file)
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'

/** The pepper of this secret, written as 64 hex digits; null when it is not. */
export const pepperFromHex = (hex: string): Pepper | null => {
  if (!/^[0-9a-f]{64}$/.test(hex)) return null
  const secret = Buffer.from(hex, 'hex')
  return { version: versionOf(secret), key: createSecretKey(secret) }
}

const versionOf = (secret: Uint8Array): string =>
  createHash('sha256').update('burrow pepper version\0').update(secret).digest('hex').slice(0, 8)

const readPepper = async (file: string): Promise<Pepper> => {
  const { mode } = await stat(file)
  if ((mode & 0o077) !== 0) {
    throw new Error(`others can read ${file}, which is a secret: run chmod 600 ${file}`)
  }
  const match = /^([0-9a-f]{8}):([0-9a-f]{64})\n$/.exec(await readFile(file, 'utf8'))
  const pepper = pepperFromHex(match?.[2] ?? '')
  if (!pepper || pepper.version !== match?.[1]) {
    throw new Error(
      `${file} is damaged: restore it from a backup, or delete it and make new keys ` +
        '(the present ones cannot work without it)',
    )
  }
  return pepper
}

/** Written aside and then linked: the name appears at once with its content, or belongs to another. */
const createPepper = async (file: string): Promise<void> => {
  const secret = randomBytes(32)
  const draft = `${file}.${randomBytes(8).toString('hex')}`
  await writeFile(draft, `${versionOf(secret)}:${secret.toString('hex')}\n`, {
    mode: 0o600,
    flag: 'wx',
    flush: true,
  })
  try {
    await link(draft, file)
  } catch (error) {
    const lost = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    if (!lost) throw error
  } finally {
    await rm(draft, { force: true })
  }
}
