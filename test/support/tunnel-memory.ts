/** Two transports joined in memory, and a raw peer that speaks frames by hand. */
import type { Log } from '../../shared/log.ts'
import { silentLog } from './silent-log.ts'
import { BackendSession, type BackendSessionOptions } from '../../shared/tunnel/backend-session.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { decodeMessage, encodeMessage, type Frame } from '../../shared/tunnel/frame.ts'
import { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import type { GatewaySessionOptions } from '../../shared/tunnel/gateway-session-options.ts'
import { limits, type Timing } from '../../shared/tunnel/limits.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import type { Transport } from '../../shared/tunnel/transport.ts'

const isWorkerd = globalThis.navigator?.userAgent === 'Cloudflare-Workers'

/** workerd's timers wait for a millisecond or more, its messages do not. */
const byMessage = (callback: () => void): void => {
  const { port1, port2 } = new MessageChannel()
  port2.addEventListener('message', () => {
    port1.close()
    callback()
  })
  port2.start()
  port1.postMessage(0)
}

/** The next turn of the event loop. */
const soon: (callback: () => void) => void = isWorkerd ? byMessage : setImmediate

/** Lets messages that are under way arrive, and what they set off. */
export const turns = async (count = 5): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => soon(resolve))
}

interface Receiver {
  receive(message: Uint8Array): void
  transportClosed(code: number, reason: string): void
}

/** One end: delivers in order, each message in its own turn of the event loop. */
export class MemoryTransport implements Transport {
  peer: Receiver | undefined
  numMessages = 0
  /** With more than this it says that it is full. */
  capacityBytes = Infinity
  closedWith: { code: number; reason: string } | undefined
  /** While true nothing is delivered: messages pile up in `bufferedBytes`. */
  isBlocked = false
  /** Told of each message before it is taken, and before it is delivered. */
  onSend: ((message: Uint8Array) => void) | undefined
  onArrive: ((message: Uint8Array) => void) | undefined
  readonly #held: (() => void)[] = []
  #bufferedBytes = 0

  get bufferedBytes(): number {
    const isFull = this.#bufferedBytes > this.capacityBytes
    return this.#bufferedBytes + (isFull ? limits.transportHighWaterBytes : 0)
  }

  set bufferedBytes(bytes: number) {
    this.#bufferedBytes = bytes
  }

  send(message: Uint8Array, sent: () => void): void {
    if (this.closedWith) return
    this.onSend?.(message)
    this.#bufferedBytes += message.byteLength
    this.numMessages++
    this.#held.push(() => {
      this.#bufferedBytes -= message.byteLength
      this.onArrive?.(message)
      this.peer?.receive(message)
      sent()
    })
    this.#deliverSoon()
  }

  close(code: number, reason: string): void {
    if (this.closedWith) return
    this.closedWith = { code, reason }
    this.#held.push(() => this.peer?.transportClosed(code, reason))
    this.#deliverSoon()
  }

  unblock(): void {
    this.isBlocked = false
    for (let i = 0; i < this.#held.length; i++) this.#deliverSoon()
  }

  #deliverSoon(): void {
    soon(() => {
      if (!this.isBlocked) this.#held.shift()?.()
    })
  }
}

export const testHello: Hello = {
  instanceId: 'instance-1',
  generation: 1,
  connectionIndex: 0,
  models: ['tiny'],
  services: [],
  capabilities: [],
  maxStreams: limits.streams,
  windowBytes: limits.requestWindowBytes,
  connectionWindowBytes: limits.requestConnectionWindowBytes,
}

export type SessionPairOptions = {
  readonly handler: TunnelHandler
  readonly hello?: Partial<Hello>
  readonly timing?: Timing
  readonly log?: Log
  readonly maxStreams?: number
  readonly windowBytes?: number
  readonly firstStreamId?: number
  readonly connectionWindowBytes?: number
  /** What else each end is to do. */
  readonly gateway?: Partial<GatewaySessionOptions>
  readonly backend?: Partial<BackendSessionOptions>
}

/** A gateway and a backend session that have shaken hands over memory, or over the given transports. */
export const sessionPair = async (
  options: SessionPairOptions,
  toBackend = new MemoryTransport(),
  toGateway = new MemoryTransport(),
) => {
  const {
    handler,
    hello,
    log = silentLog,
    timing,
    gateway: moreGateway,
    backend: moreBackend,
    ...gatewayOptions
  } = options
  const common = { log, ...(timing && { timing }) }
  const welcomed = Promise.withResolvers<void>()
  const gateway = new GatewaySession(toBackend, {
    ...common,
    ...gatewayOptions,
    sessionId: 'session-1',
    onHello: () => {},
    ...moreGateway,
  })
  const backendOptions: BackendSessionOptions = {
    ...common,
    handler,
    hello: { ...testHello, ...hello },
    onWelcome: () => welcomed.resolve(),
    ...moreBackend,
  }
  const backend = new BackendSession(toGateway, backendOptions)
  toBackend.peer = backend
  toGateway.peer = gateway
  await welcomed.promise
  return { gateway, backend, toBackend, toGateway }
}

/** Speaks frames by hand to the session under test. */
export class RawPeer implements Receiver {
  readonly transport = new MemoryTransport()
  readonly frames: Frame[] = []
  closedWith: { code: number; reason: string } | undefined
  #session: Receiver | undefined

  constructor() {
    this.transport.peer = this
  }

  /** `session` was built on `this.transport`. */
  connect(session: Receiver): void {
    this.#session = session
  }

  receive(message: Uint8Array): void {
    this.frames.push(...decodeMessage(message))
  }

  transportClosed(code: number, reason: string): void {
    this.closedWith = { code, reason }
  }

  send(...frames: Frame[]): void {
    this.sendBytes(encodeMessage(frames))
  }

  sendBytes(message: Uint8Array): void {
    this.#session?.receive(message)
  }
}
