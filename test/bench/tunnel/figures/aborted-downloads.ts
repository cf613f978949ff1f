/** 10,000 downloads that are given up after their first bytes. */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FigureRow } from '../figures.ts'
import { change, startStreamingSystem } from './streaming-system.ts'

const count = 10_000
const atOnce = 32
/** Before the first look: code is compiled, buffers have their size. */
const warmUp = 2_000

export const abortedDownloads = async (): Promise<FigureRow[]> => {
  const system = await startStreamingSystem()
  const request = system.request({ kind: 'bulk', bytes: 8 * 1024 * 1024 })
  const abort = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(system.target.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.once('data', () => socket.destroy())
      socket.once('close', () => resolve())
      socket.write(request)
    })
  const many = async (total: number): Promise<void> => {
    let left = total
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (left-- > 0) await abort()
      }),
    )
    // Until the last is settled.
    await sleep(1_000)
  }
  await many(warmUp)
  const gatewayBefore = await system.gateway.resources()
  const backendBefore = await system.backend.resources()
  const startedAt = performance.now()
  await many(count)
  const seconds = (performance.now() - startedAt) / 1_000
  const gatewayAfter = await system.gateway.resources()
  const backendAfter = await system.backend.resources()
  await system.stop()
  return [
    [
      `${count} aborted downloads (${seconds.toFixed(0)} s), gateway`,
      change(gatewayBefore, gatewayAfter),
    ],
    ['the same, backend', change(backendBefore, backendAfter)],
  ]
}
