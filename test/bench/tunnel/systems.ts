/** The systems that are compared, all in front of the same answers. */
import { BenchProcess } from './bench-process.ts'
import { startFrp, type FrpSettings } from './frp.ts'
import type { BackendSettings } from './processes/backend-side.ts'
import type { GatewaySide } from './processes/gateway-side.ts'
import type { Target } from './scenarios.ts'

export type System = {
  readonly target: Target
  /** The process on the public side and the one behind the NAT, where there are any. */
  readonly sides: readonly BenchProcess[]
}

/** Starts a system in front of the HTTP server on `serverPort`; `execArgv` are options of Node. */
export type StartSystem = (serverPort: number, execArgv?: readonly string[]) => Promise<System>

const direct: StartSystem = async (port) => ({ target: { port, headers: {} }, sides: [] })

const frp =
  (settings: FrpSettings): StartSystem =>
  async (serverPort) => {
    const { port, frps, frpc } = await startFrp(serverPort, settings)
    return { target: { port, headers: {} }, sides: [frps, frpc] }
  }

/** @param gatewaySide a script under `processes/` @param forwards whether the HTTP server answers */
const burrow =
  (gatewaySide: string, forwards: boolean): StartSystem =>
  async (serverPort, execArgv = []) => {
    const gateway = await BenchProcess.script<GatewaySide>(gatewaySide, {}, execArgv)
    const { port, key, backendTokens } = gateway.details
    const settings: BackendSettings = {
      gatewayPort: port,
      token: backendTokens[0] ?? '',
      ...(forwards && { serverPort }),
    }
    const backend = await BenchProcess.script('backend-side', settings, execArgv)
    const headers = key === '' ? {} : { authorization: `Bearer ${key}` }
    return { target: { port, headers }, sides: [gateway, backend] }
  }

/**
 * Three forms of Burrow: the tunnel alone between two thin ends, with the answers made in the
 * backend as the engine makes them, or by the HTTP server that also stands behind frp; and the
 * whole gateway, with keys, books and the API's error handling.
 */
export const systems: Readonly<Record<string, StartSystem>> = {
  direct,
  'frp, default': frp({}),
  'frp, no TLS': frp({ tls: false }),
  'frp, no mux': frp({ tls: false, tcpMux: false }),
  'tunnel, to the server': burrow('tunnel-alone', true),
  tunnel: burrow('tunnel-alone', false),
  gateway: burrow('gateway-side', false),
}
