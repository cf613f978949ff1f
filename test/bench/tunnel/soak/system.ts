/** What the soak runs: a gateway, and backends behind bad networks, each of which can be restarted. */
import { join } from 'node:path'
import { dial, type Tunnel } from '../../../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../../../backend/tunnel/login.ts'
import { TokenMint } from '../../../../backend/tunnel/token.ts'
import { UsageJournal } from '../../../../backend/tunnel/usage-journal.ts'
import { startGateway, type Gateway } from '../../../../gateway/node.ts'
import { tunnelPath } from '../../../../shared/tunnel/handshake.ts'
import type { Timing } from '../../../../shared/tunnel/limits.ts'
import { silentLog } from '../../../support/silent-log.ts'
import { startRelay, type Relay } from '../../../support/tunnel-relay.ts'
import type { Workshop } from './workshop.ts'
import { model } from './work.ts'

/** The real times, about ten times as fast. */
const timing: Timing = {
  handshakeMs: 2_000,
  pingMs: 800,
  busyPingMs: 300,
  idleSilenceMs: 2_500,
  busySilenceMs: 1_200,
  stallMs: 3_000,
  tickMs: 50,
  cancelMs: 1_500,
  settleMs: 800,
  usageMs: 100,
  statusMs: 100,
  syncMs: 1_000,
  resetWindowMs: 10_000,
}

export const maxStreams = 48

export type SystemOptions = {
  readonly home: string
  readonly numBackends: number
  readonly seed: number
  readonly workshop: Workshop
}

class SoakedBackend {
  readonly relay: Relay
  readonly #options: SystemOptions
  readonly #secret: string
  readonly #journal: UsageJournal
  #tunnel: Tunnel

  constructor(options: SystemOptions, name: string, secret: string, relay: Relay) {
    this.#options = options
    this.#secret = secret
    this.relay = relay
    this.#journal = new UsageJournal(join(options.home, name), { log: silentLog })
    this.#tunnel = this.#dial()
  }

  async connected(): Promise<void> {
    await this.#tunnel.connected
  }

  async restart(graceMs: number): Promise<void> {
    await this.#tunnel.close(graceMs)
    this.#tunnel = this.#dial()
  }

  async close(): Promise<void> {
    await this.#tunnel.close(0)
    this.#journal.close()
    await this.relay.close()
  }

  #dial(): Tunnel {
    const { workshop } = this.#options
    return dial({
      url: `ws://127.0.0.1:${this.relay.port}${tunnelPath}`,
      login: tokenLogin(new TokenMint({ enrolmentSecret: this.#secret })),
      models: [model],
      handler: workshop.handler,
      log: silentLog,
      maxStreams,
      timing,
      journal: this.#journal,
    })
  }
}

export class SoakedSystem {
  readonly backends: readonly SoakedBackend[]
  readonly url: string
  readonly key: string
  readonly #options: SystemOptions
  #gateway: Gateway
  #restart: Promise<void> = Promise.resolve()

  private constructor(
    options: SystemOptions,
    gateway: Gateway,
    key: string,
    backends: readonly SoakedBackend[],
  ) {
    this.#options = options
    this.#gateway = gateway
    this.url = gateway.url
    this.key = key
    this.backends = backends
  }

  static async start(options: SystemOptions): Promise<SoakedSystem> {
    const gateway = await openGateway(options.home, 0)
    const { secret } = await gateway.admin.createKey('soak')
    const backends: SoakedBackend[] = []
    for (let i = 0; i < options.numBackends; i++) {
      const name = `box-${i}`
      const { token } = await gateway.admin.enrollBackend(name)
      const relay = await startRelay(portOf(gateway), { seed: options.seed + i })
      backends.push(new SoakedBackend(options, name, token.reveal(), relay))
    }
    await Promise.all(backends.map((backend) => backend.connected()))
    return new SoakedSystem(options, gateway, secret.reveal(), backends)
  }

  restartGateway(graceMs: number): Promise<void> {
    this.#restart = this.#restart.then(async () => {
      await this.#gateway.drain(graceMs)
      this.#gateway = await openGateway(this.#options.home, Number(new URL(this.url).port))
    })
    return this.#restart
  }

  /** How many backends the gateway lists as connected. */
  async numConnected(): Promise<number> {
    await this.#restart
    const response = await fetch(`${this.url}/health`, { headers: { connection: 'close' } })
    const { backends }: { backends: number } = JSON.parse(await response.text())
    return backends
  }

  async close(): Promise<void> {
    await this.#restart
    for (const backend of this.backends) await backend.close()
    await this.#gateway.close()
  }
}

const portOf = (gateway: Gateway): number => Number(new URL(gateway.url).port)

const openGateway = (home: string, port: number): Promise<Gateway> =>
  startGateway({ host: '127.0.0.1', port, home }, { log: silentLog, timing })
