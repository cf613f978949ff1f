/** The Worker under test, asked from inside workerd: an API key, a backend, and requests. */
import { applyD1Migrations } from 'cloudflare:test'
import { env, exports } from 'cloudflare:workers'
import { onTestFinished } from 'vitest'
import { TokenMint, type TokenMintOptions } from '../../../backend/tunnel/token.ts'
import { BackendSession } from '../../../shared/tunnel/backend-session.ts'
import type { TunnelHandler } from '../../../shared/tunnel/exchange.ts'
import { protocolName, textPing, textPong, tunnelPath } from '../../../shared/tunnel/handshake.ts'
import type { Hello } from '../../../shared/tunnel/hello.ts'
import { defaultTiming, type Timing } from '../../../shared/tunnel/limits.ts'
import type { Transport } from '../../../shared/tunnel/transport.ts'
import { silentLog } from '../../support/silent-log.ts'
import { testHello } from '../../support/tunnel-memory.ts'
import { testAdminToken } from '../../support/worker-secrets.ts'

const origin = 'https://gateway.example'

/** Any request to the Worker. */
export const ask = (path: string, init?: RequestInit): Promise<Response> =>
  exports.default.fetch(origin + path, init)

/** A request to the admin API, and its answer. */
export const administer = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
  const response = await ask(`/admin${path}`, {
    method,
    headers: { authorization: `Bearer ${testAdminToken}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`)
  return response.json<T>()
}

export type TestKey = { readonly id: string; readonly secret: string }

/** POSTs JSON to the chat route. */
export const chat = (key: TestKey, body: unknown, init: RequestInit = {}): Promise<Response> =>
  ask('/v1/chat/completions', {
    method: 'POST',
    headers: { authorization: `Bearer ${key.secret}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...init,
  })

export const testKey = async (): Promise<TestKey> => {
  await applyD1Migrations(env.DB, env.TEST_MIGRATIONS)
  const { key, secret } = await administer<{ key: { id: string }; secret: string }>(
    'POST',
    '/keys',
    { name: 'test' },
  )
  return { id: key.id, secret }
}

export type TestBackend = {
  readonly id: string
  readonly session: BackendSession
  readonly webSocket: WebSocket
  /** Text messages that came. */
  readonly texts: readonly string[]
}

export type TestBackendOptions = {
  /** Also the name of its model. */
  readonly name: string
  readonly handler?: TunnelHandler
  readonly hello?: Partial<Hello>
  readonly timing?: Timing
}

export const enroll = async (name: string): Promise<{ id: string; secret: string }> => {
  await applyD1Migrations(env.DB, env.TEST_MIGRATIONS)
  const { backend, token } = await administer<{ backend: { id: string }; token: string }>(
    'POST',
    '/backends',
    { name },
  )
  return { id: backend.id, secret: token }
}

/** A token as the backend with this enrolment secret makes it. */
export const tokenOf = (enrolmentSecret: string, options: Partial<TokenMintOptions> = {}) =>
  new TokenMint({ enrolmentSecret, ...options }).mint()

/** The upgrade request's answer. */
export const upgrade = (token: string): Promise<Response> =>
  ask(tunnelPath, {
    headers: {
      upgrade: 'websocket',
      'sec-websocket-protocol': protocolName,
      authorization: `Bearer ${token}`,
    },
  })

/** Enrols and connects a backend, which goes with the test. */
export const connectBackend = async ({
  name,
  handler = async () => new Response('ok'),
  hello = {},
  timing = defaultTiming,
}: TestBackendOptions): Promise<TestBackend> => {
  const { id, secret } = await enroll(name)
  const { webSocket } = await upgrade(await tokenOf(secret))
  if (!webSocket) throw new Error('the backend was not let in')
  webSocket.binaryType = 'arraybuffer'
  webSocket.accept()
  const texts: string[] = []
  const transport: Transport = {
    bufferedBytes: 0,
    send(message, sent) {
      if (webSocket.readyState === WebSocket.OPEN) webSocket.send(message)
      queueMicrotask(sent)
    },
    textPing: () => webSocket.send(textPing),
    close: (code, reason) => webSocket.close(code, reason),
  }
  const welcomed = Promise.withResolvers<void>()
  const session = new BackendSession(transport, {
    log: silentLog,
    timing,
    handler,
    hello: { ...testHello, models: [name], ...hello },
    onWelcome: () => welcomed.resolve(),
  })
  webSocket.addEventListener('message', ({ data }) => {
    if (data instanceof ArrayBuffer) return session.receive(new Uint8Array(data))
    texts.push(data)
    if (data === textPong) session.textPong()
  })
  webSocket.addEventListener('close', ({ code, reason }) => session.transportClosed(code, reason))
  onTestFinished(() => session.close(1000, 'the test is over'))
  await Promise.race([welcomed.promise, session.closed])
  return { id, session, webSocket, texts }
}

export const event = (text: string) => `data: {"t":"${text}"}\n\n`
export const done = 'data: [DONE]\n\n'

/** Reads chunk by chunk as text; null at the end. */
export const textReader = (response: Response) => {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  return {
    async next(): Promise<string | null> {
      const { value } = (await reader?.read()) ?? {}
      return value ?? null
    },
    cancel: () => reader?.cancel(),
  }
}

/** A stream that sends `first` at once and the rest when it is told to. */
export const heldStream = (first: string) => {
  const cancelled = Promise.withResolvers<void>()
  const encoder = new TextEncoder()
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const handler: TunnelHandler = async (request, exchange) => {
    request.signal.addEventListener('abort', () => cancelled.resolve())
    exchange.reportUsage({ promptTokens: 7, completionTokens: 2 })
    const body = new ReadableStream<Uint8Array>({
      start(itsController) {
        controller = itsController
        controller.enqueue(encoder.encode(first))
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }
  return {
    handler,
    cancelled: cancelled.promise,
    write: (text: string) => controller?.enqueue(encoder.encode(text)),
    end(text: string) {
      controller?.enqueue(encoder.encode(text))
      controller?.close()
    },
  }
}
