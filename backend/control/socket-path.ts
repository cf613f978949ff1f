/** Where a running backend listens for `burrow drain`: several may share a data directory. */
import { join } from 'node:path'

/** sun_path holds 104 bytes on macOS and the BSDs, 108 on Linux, with a zero at the end. */
const maxSocketPathBytes = 103

/** Null where the system cannot have a socket. */
export const backendSocketPath = (home: string, pid: number): string | null => {
  const path = join(home, `backend-${pid}.sock`)
  return Buffer.byteLength(path) <= maxSocketPathBytes ? path : null
}

export const isBackendSocket = (name: string): boolean => /^backend-\d+\.sock$/.test(name)
