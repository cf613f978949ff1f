/** A whole gateway and a backend, each in a process of its own that can be asked what it holds. */
import { BenchProcess } from '../bench-process.ts'
import { askBody, path, type Ask } from '../answers.ts'
import type { BackendSettings } from '../processes/backend-side.ts'
import type { GatewaySide } from '../processes/gateway-side.ts'
import type { Resources } from '../resources.ts'
import type { Target } from '../scenarios.ts'

export type StreamingSystem = {
  readonly gateway: BenchProcess
  readonly backend: BenchProcess
  readonly target: Target
  /** The head and body of a request, as bytes for a socket. */
  request(ask: Ask): string
  stop(): Promise<void>
}

const execArgv = ['--expose-gc']

export const startStreamingSystem = async (): Promise<StreamingSystem> => {
  const gateway = await BenchProcess.script<GatewaySide>('gateway-side', {}, execArgv)
  const { port, key, backendTokens } = gateway.details
  const settings: BackendSettings = { gatewayPort: port, token: backendTokens[0] ?? '' }
  const backend = await BenchProcess.script('backend-side', settings, execArgv)
  const headers = { authorization: `Bearer ${key}` }
  return {
    gateway,
    backend,
    target: { port, headers },
    request(ask) {
      const body = askBody(ask)
      const lines = [
        `POST ${path} HTTP/1.1`,
        'Host: bench',
        `Authorization: ${headers.authorization}`,
        `Content-Length: ${Buffer.byteLength(body)}`,
      ]
      return `${lines.join('\r\n')}\r\n\r\n${body}`
    },
    async stop() {
      await backend.stop()
      await gateway.stop()
    },
  }
}

/** `heap 20.1 → 20.3 MiB, resident 120 → 130 MiB, sockets 3 → 3, timers 4 → 4` */
export const change = (before: Resources, after: Resources): string => {
  const mib = (name: 'heapMib' | 'residentMib', digits: number) =>
    `${before[name].toFixed(digits)} → ${after[name].toFixed(digits)} MiB`
  return (
    `heap ${mib('heapMib', 1)}, resident ${mib('residentMib', 0)}, ` +
    `sockets ${before.sockets} → ${after.sockets}, timers ${before.timers} → ${after.timers}`
  )
}
