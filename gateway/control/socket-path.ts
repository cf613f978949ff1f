/** Where the control socket is. */
import { join } from 'node:path'

/** sun_path holds 104 bytes on macOS and the BSDs, 108 on Linux, with a zero at the end. */
const maxSocketPathBytes = 103

export const controlSocketPath = (home: string): string => join(home, 'control.sock')

/** What to tell the user when the system cannot have a socket there, else null. */
export const controlSocketProblem = (home: string): string | null => {
  const path = controlSocketPath(home)
  const bytes = Buffer.byteLength(path)
  return bytes <= maxSocketPathBytes
    ? null
    : `the control socket's path ${path} has ${bytes} bytes, and the system allows ` +
        `${maxSocketPathBytes}: choose a home with a shorter path`
}
