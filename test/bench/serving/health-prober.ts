// Asks for both healths in turn and tells how long each took, in ms. Started by health.ts.
import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { openAdmin } from '../../../gateway/control/open-admin.ts'
import { isFields } from '../../../shared/parse.ts'

export type HealthTimes = Record<'gateway' | 'backend' | 'timer', number[]>

const { url, home, ms }: { readonly url: string; readonly home: string; readonly ms: number } =
  workerData
const agent = new Agent({ keepAlive: true })
const admin = await openAdmin(home)

const askGateway = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = get(`${url}/health`, { agent }, (response) => {
      response.resume().once('end', resolve)
    })
    request.once('error', reject)
  })

const askBackend = async (): Promise<void> => {
  const [backend] = await admin.listBackends()
  if (!isFields(backend?.health)) throw new Error('the backend did not tell how it is')
}

const timed = async (times: number[], act: () => Promise<unknown>): Promise<void> => {
  const startedAt = performance.now()
  await act()
  times.push(performance.now() - startedAt)
}

const times: HealthTimes = { gateway: [], backend: [], timer: [] }
const startedAt = performance.now()
while (performance.now() - startedAt < ms) {
  await timed(times.gateway, askGateway)
  await timed(times.timer, () => sleep(5))
  await timed(times.backend, askBackend)
  await timed(times.timer, () => sleep(5))
}
admin.close()
agent.destroy()
parentPort?.postMessage(times)
