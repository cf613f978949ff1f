/** Small kernel buffers, which Node has no option for: Linux only. */
import type { Server, Socket } from 'node:net'
import koffi from 'koffi'

// From Linux's headers.
const SOL_SOCKET = 1
const SO_SNDBUF = 7
const SO_RCVBUF = 8

/**
 * Sets both buffers of a listening or connected socket; what a listening one accepts has them too.
 * The kernel doubles the number and has a lower limit of some KiB. @throws where it cannot be done
 */
export const shrinkBuffers = (socket: Socket | Server, bytes: number): void => {
  const handle: unknown = Reflect.get(socket, '_handle')
  const fd =
    typeof handle === 'object' && handle !== null && 'fd' in handle ? Number(handle.fd) : -1
  if (process.platform !== 'linux' || fd < 0) throw new Error('no buffers to set on this socket')
  const setsockopt = koffi
    .load(null)
    .func('setsockopt', 'int', ['int', 'int', 'int', koffi.pointer('int'), 'uint32'])
  for (const option of [SO_SNDBUF, SO_RCVBUF]) {
    if (setsockopt(fd, SOL_SOCKET, option, [bytes], 4) !== 0) {
      throw new Error(`setsockopt ${option} failed`)
    }
  }
}
