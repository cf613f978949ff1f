/** The peer: frp, built from its published source, and run as its documentation says. */
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { scratchPath } from '../engine/scratch.ts'
import { BenchProcess } from './bench-process.ts'
import { freePort } from '../../support/free-port.ts'

export const frpVersion = 'v0.71.0'

/** What of frp's configuration is not as it comes. */
export type FrpSettings = {
  /** Many streams over one connection. Default true. */
  readonly tcpMux?: boolean
  /** Between frpc and frps. Default true. */
  readonly tls?: boolean
}

const programs = ['frps', 'frpc'] as const

const binary = (program: string): string => scratchPath('frp', `${program}-${frpVersion}`)

/**
 * Fetches frp's module from the Go module proxy and builds both programs, once. The tag leaves out
 * the dashboards, whose files are not part of the module. @throws when there is no Go, or it fails
 */
export const buildFrp = (): void => {
  if (programs.every((program) => existsSync(binary(program)))) return
  console.error(`building frp ${frpVersion}`)
  // Not `go install`: frp's go.mod replaces a module, which that refuses.
  const download = ['mod', 'download', '-json', `github.com/fatedier/frp@${frpVersion}`]
  const cwd = scratchPath('frp')
  const { Dir: source } = JSON.parse(execFileSync('go', download, { cwd, encoding: 'utf8' }))
  for (const program of programs) {
    const args = ['build', '-trimpath', '-ldflags', '-s -w', '-tags', `${program},noweb`]
    execFileSync('go', [...args, '-o', binary(program), `./cmd/${program}`], {
      cwd: source,
      env: { ...process.env, CGO_ENABLED: '0' },
      stdio: ['ignore', 2, 2],
    })
  }
}

/** Resolves once a connection to the port is accepted. */
const listens = async (port: number): Promise<void> => {
  for (let i = 0; i < 200; i++) {
    const socket = connect(port, '127.0.0.1')
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (isOpen) return
    await sleep(50)
  }
  throw new Error(`nothing listens on port ${port}`)
}

/** Its own file: at full load it has much to say. */
const log = (program: string, id: number): string =>
  `log.to = "${scratchPath('frp', `${program}-${id}.log`)}"\nlog.level = "error"\n`

export type RunningFrp = {
  /** Where clients connect. */
  readonly port: number
  readonly frps: BenchProcess
  readonly frpc: BenchProcess
}

/** Publishes `serverPort` of this machine through frps and frpc. */
export const startFrp = async (
  serverPort: number,
  { tcpMux = true, tls = true }: FrpSettings,
): Promise<RunningFrp> => {
  const bindPort = await freePort()
  const remotePort = await freePort()
  const serverConfig = scratchPath('frp', `frps-${bindPort}.toml`)
  const clientConfig = scratchPath('frp', `frpc-${bindPort}.toml`)
  writeFileSync(
    serverConfig,
    `bindAddr = "127.0.0.1"\nbindPort = ${bindPort}\ntransport.tcpMux = ${tcpMux}\n` +
      log('frps', bindPort),
  )
  writeFileSync(
    clientConfig,
    `serverAddr = "127.0.0.1"\nserverPort = ${bindPort}\ntransport.tcpMux = ${tcpMux}\n` +
      `transport.tls.enable = ${tls}\n${log('frpc', bindPort)}` +
      `[[proxies]]\nname = "bench"\ntype = "tcp"\nlocalIP = "127.0.0.1"\n` +
      `localPort = ${serverPort}\nremotePort = ${remotePort}\n`,
  )
  const frps = BenchProcess.program(binary('frps'), ['-c', serverConfig])
  await listens(bindPort)
  const frpc = BenchProcess.program(binary('frpc'), ['-c', clientConfig])
  await listens(remotePort)
  return { port: remotePort, frps, frpc }
}
