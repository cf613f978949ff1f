/** Plays every cell of SPEC.md's state tables. */
import { describe, expect, it } from 'vitest'
import type { ServedExchange } from '../../../shared/tunnel/exchange.ts'
import {
  acceptFrame,
  encodeMessage,
  windowFrame,
  type Frame,
} from '../../../shared/tunnel/frame.ts'
import { resetFrame } from '../../../shared/tunnel/message.ts'
import { rawBackend, rawGateway, readyBackend, readyGateway } from '../../support/raw-sessions.ts'
import { specCells } from '../../support/spec-tables.ts'
import {
  connectionFrames,
  dataFrame,
  endFrame,
  headFrame,
  openFrame,
  testPost,
} from '../../support/tunnel-frames.ts'
import { turns } from '../../support/tunnel-memory.ts'

/** The state's name, without its explanation. */
const stateName = (text: string): string => text.replace(/ \(.*/, '')

const valueOf = <T>(record: Record<string, T>, key: string): T => {
  const value = record[key]
  if (value === undefined) throw new Error(`SPEC.md names ${key}, which this test does not know`)
  return value
}

describe('the connection', () => {
  const ends = {
    'gateway, before': async () => rawGateway(),
    'gateway, after': () => readyGateway(),
    'backend, before': async () => rawBackend(),
    'backend, after': () => readyBackend(),
  }

  it.each(specCells('The connection'))('$column: $row: $says', async ({ row, column, says }) => {
    const { peer, session } = await valueOf(ends, column)()
    await turns()
    const received = row === 'WINDOW' ? windowFrame(0, 1) : valueOf(connectionFrames, row)
    peer.send(received)
    await turns()
    // A backend that dialled with a token has no answer to a challenge.
    const isRefused = says === '4002' || says === 'answer, or 4002'
    expect(peer.transport.closedWith?.code).toBe(isRefused ? 4002 : undefined)
    if (says === 'PONG') expect(peer.frames.at(-1)?.name).toBe('PONG')
    session.close(1000, '')
  })
})

describe('a stream at the gateway', () => {
  const upgrade = { ...testPost, method: 'GET', upgrade: 'websocket' as const }

  const opened = async (request = testPost) => {
    const { peer, session } = await readyGateway()
    const exchange = session.open(request)
    await turns()
    return { peer, session, exchange }
  }
  const after = async (frames: readonly Frame[], request = testPost) => {
    const stream = await opened(request)
    stream.peer.send(...frames)
    await turns()
    return stream
  }
  const openBody = () => new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) })

  const states = {
    opening: () => opened(),
    accepted: () => after([acceptFrame(1)]),
    answering: () => after([acceptFrame(1), headFrame(1)]),
    upgraded: () => after([acceptFrame(1), headFrame(1, 101)], { ...upgrade, body: openBody() }),
    'half-closed': () =>
      after([acceptFrame(1), headFrame(1, 101), endFrame(1)], { ...upgrade, body: openBody() }),
    cancelling: async () => {
      const stream = await opened()
      stream.exchange.cancel('enough')
      return stream
    },
    closed: () => after([resetFrame(1, { code: 'REFUSED', message: '' })]),
    'never opened': () => opened(),
  }

  const frames: Record<string, (id: number) => Frame> = {
    ACCEPT: acceptFrame,
    HEAD: headFrame,
    DATA: dataFrame,
    END: endFrame,
    'END with error': (id) => endFrame(id, { error: { code: 'INTERNAL', message: '' } }),
    RESET: (id) => resetFrame(id, { code: 'INTERNAL', message: '' }),
    WINDOW: (id) => windowFrame(id, 1),
  }

  type Stream = Awaited<ReturnType<typeof opened>>
  const isAlive = ({ peer }: Stream) => peer.transport.closedWith === undefined
  /** Whether the stream is in the state that the specification says, found out by what it takes. */
  const probes: Record<string, (stream: Stream) => Promise<void> | void> = {
    opening: (stream) => {
      stream.peer.send(acceptFrame(1))
      expect(isAlive(stream)).toBe(true)
    },
    accepted: async ({ peer, exchange }) => {
      peer.send(headFrame(1))
      expect((await exchange.head).status).toBe(200)
    },
    answering: async ({ peer, exchange }) => {
      peer.send(dataFrame(1), endFrame(1))
      expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
    },
    upgraded: ({ peer, session }) => {
      peer.send(dataFrame(1), endFrame(1))
      expect(session.openStreams).toBe(1)
    },
    'half-closed': (stream) => {
      stream.peer.send(dataFrame(1))
      expect(isAlive(stream)).toBe(false)
    },
    closed: async ({ session, exchange }) => {
      expect(session.openStreams).toBe(0)
      await exchange.settled
    },
  }

  it.each(specCells('Streams at the gateway'))('$row: $column: $says', async (cell) => {
    const state = stateName(cell.row)
    const stream = await valueOf(states, state)()
    const before = stream.session.openStreams
    const id = state === 'never opened' ? 99 : 1
    stream.peer.send(valueOf(frames, cell.column)(id))
    await turns()
    if (cell.says === '4002') {
      expect(stream.peer.transport.closedWith?.code).toBe(4002)
      return
    }
    expect(stream.peer.transport.closedWith).toBeUndefined()
    if (cell.says === 'drop') expect(stream.session.openStreams).toBe(before)
    else await valueOf(probes, cell.says)(stream)
    stream.session.close(1000, '')
  })

  it('takes no OPEN', async () => {
    const { peer } = await opened()
    peer.send(openFrame(1))
    expect(peer.transport.closedWith?.code).toBe(4002)
  })

  it('takes no second ACCEPT while it is being cancelled', async () => {
    const { peer, exchange } = await after([acceptFrame(1)])
    exchange.cancel('enough')
    peer.send(acceptFrame(1))
    expect(peer.transport.closedWith?.code).toBe(4002)
  })
})

describe('a stream at the backend', () => {
  const never = () => new Promise<never>(() => {})
  const upgrade = { method: 'GET', upgrade: 'websocket' } as const
  const upgraded = (body: ReadableStream<Uint8Array>) => async () => ({
    status: 101 as const,
    headers: new Headers(),
    body,
  })

  const opened = async (open: Frame | undefined, handler: () => Promise<Response> = never) => {
    const requests: Request[] = []
    const exchanges: ServedExchange[] = []
    const { peer, session } = await readyBackend({
      handler: (request, exchange) => {
        requests.push(request)
        exchanges.push(exchange)
        return handler()
      },
    })
    if (open) peer.send(open)
    await turns()
    return { peer, session, requests, exchanges }
  }
  const openedUpgrade = async (body: ReadableStream<Uint8Array>) => {
    const exchanges: ServedExchange[] = []
    const requests: Request[] = []
    const { peer, session } = await readyBackend({
      handler: (request, exchange) => {
        requests.push(request)
        exchanges.push(exchange)
        return upgraded(body)()
      },
    })
    peer.send(openFrame(1, upgrade))
    await turns()
    return { peer, session, requests, exchanges }
  }

  const states = {
    'never opened': () => opened(undefined),
    reading: () => opened(openFrame(1)),
    read: () => opened(openFrame(1, { hasBody: false })),
    upgrading: () => opened(openFrame(1, upgrade)),
    upgraded: () => openedUpgrade(new ReadableStream({ pull: never })),
    'half-closed': () => openedUpgrade(new ReadableStream({ start: (c) => c.close() })),
    'stopping, body under way': async () => {
      const stream = await opened(openFrame(1))
      stream.peer.send(resetFrame(1, { code: 'CANCEL', message: '' }))
      return stream
    },
    closed: () => opened(openFrame(1), async () => new Response('ok')),
  }

  const frames: Record<string, (id: number) => Frame> = {
    OPEN: openFrame,
    DATA: dataFrame,
    END: endFrame,
    RESET: (id) => resetFrame(id, { code: 'CANCEL', message: '' }),
    WINDOW: (id) => windowFrame(id, 1),
  }

  type Stream = Awaited<ReturnType<typeof opened>>
  const takesData = ({ peer }: Stream) => {
    peer.send(dataFrame(1))
    return peer.transport.closedWith === undefined
  }
  const probes: Record<string, (stream: Stream) => void> = {
    'reading or read': (stream) => expect(stream.session.openStreams).toBe(1),
    reading: (stream) => expect(takesData(stream)).toBe(true),
    read: (stream) => expect(takesData(stream)).toBe(false),
    upgrading: (stream) => {
      expect(stream.session.openStreams).toBe(1)
      expect(takesData(stream)).toBe(false)
    },
    upgraded: (stream) => {
      expect(takesData(stream)).toBe(true)
      expect(stream.session.openStreams).toBe(1)
    },
    'half-closed': (stream) => {
      expect(takesData(stream)).toBe(true)
      stream.peer.send(endFrame(1))
      expect(stream.session.openStreams).toBe(0)
    },
    stopping: ({ session, requests }) => {
      expect(requests[0]?.signal.aborted).toBe(true)
      // An upgraded one has nothing to wait for, and may have ended.
      expect(session.openStreams).toBeLessThanOrEqual(1)
    },
    closed: ({ session }) => expect(session.openStreams).toBe(0),
  }

  it.each(specCells('Streams at the backend'))('$row: $column: $says', async (cell) => {
    const stream = await valueOf(states, stateName(cell.row))()
    const before = stream.session.openStreams
    stream.peer.send(valueOf(frames, cell.column)(1))
    await turns()
    if (cell.says === '4002') {
      expect(stream.peer.transport.closedWith?.code).toBe(4002)
      return
    }
    expect(stream.peer.transport.closedWith).toBeUndefined()
    if (cell.says === 'drop') expect(stream.session.openStreams).toBe(before)
    else valueOf(probes, cell.says)(stream)
    stream.session.close(1000, '')
  })

  it.each([
    ['ACCEPT', acceptFrame(1)],
    ['HEAD', headFrame(1)],
  ])('takes no %s', async (_, received) => {
    const { peer } = await opened(openFrame(1))
    peer.send(received)
    expect(peer.transport.closedWith?.code).toBe(4002)
  })
})

describe('either end', () => {
  it('ignores types of later versions with the high bit set, in any state', async () => {
    const later = Uint8Array.of(0xff, 0, 0, 3, 1, 2, 3, 4, 9, 9, 9)
    for (const end of [rawGateway(), rawBackend(), await readyGateway(), await readyBackend()]) {
      end.peer.sendBytes(later)
      expect(end.peer.transport.closedWith).toBeUndefined()
      end.session.close(1000, '')
    }
  })

  it('acts upon nothing of a message that is broken further on', async () => {
    const { peer, session } = await readyBackend()
    const emptyData = [0x13, 0, 0, 0, 0, 0, 0, 1]
    peer.sendBytes(Uint8Array.from([...encodeMessage([openFrame(1)]), ...emptyData]))
    expect([peer.transport.closedWith?.code, session.openStreams]).toEqual([4002, 0])
    await turns()
    expect(peer.frames).toEqual([])
  })
})
