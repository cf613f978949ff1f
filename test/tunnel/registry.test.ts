import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BackendRegistry } from '../../gateway/tunnel/registry.ts'
import { silentLog } from '../support/silent-log.ts'
import { BackendSession } from '../../shared/tunnel/backend-session.ts'
import { MemoryTransport, testHello } from '../support/tunnel-memory.ts'
import { testRequest } from '../support/tunnel-pair.ts'

let registry: BackendRegistry

/** Joins a backend whose handlers wait for ever. */
const join = async (backendId: string, models: readonly string[], maxStreams = 8) => {
  const toBackend = new MemoryTransport()
  const toGateway = new MemoryTransport()
  const welcomed = Promise.withResolvers<void>()
  toGateway.peer = registry.connect({ backendId, name: `box-${backendId}` }, toBackend)
  const session = new BackendSession(toGateway, {
    log: silentLog,
    hello: { ...testHello, models, maxStreams },
    handler: () => new Promise(() => {}),
    onWelcome: () => welcomed.resolve(),
  })
  toBackend.peer = session
  await welcomed.promise
  return session
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 5))

beforeEach(() => {
  registry = new BackendRegistry({ log: silentLog, now: () => 1_000 })
})

afterEach(() => {
  registry.close()
})

describe('the registry', () => {
  it('knows who is connected and what they serve', async () => {
    await join('a', ['tiny', 'large'])
    await join('b', ['tiny'])
    expect(registry.models()).toEqual(['large', 'tiny'])
    expect(
      registry.backends().map(({ backendId, name, models, connectedAtMs, openStreams }) => ({
        backendId,
        name,
        models,
        connectedAtMs,
        openStreams,
      })),
    ).toEqual([
      {
        backendId: 'a',
        name: 'box-a',
        models: ['tiny', 'large'],
        connectedAtMs: 1_000,
        openStreams: 0,
      },
      { backendId: 'b', name: 'box-b', models: ['tiny'], connectedAtMs: 1_000, openStreams: 0 },
    ])
  })

  it('picks the backend with the fewest open streams among those that serve the model', async () => {
    await join('a', ['tiny', 'large'])
    await join('b', ['tiny'])
    const picked = Array.from({ length: 4 }, () => {
      const backend = registry.pick('tiny')
      backend?.open(testRequest())
      return backend?.backendId
    })
    expect(picked).toEqual(['a', 'b', 'a', 'b'])
    expect(registry.pick('large')?.backendId).toBe('a')
    expect(registry.pick('none')).toBeNull()
  })

  it('picks one with room before one that is full', async () => {
    await join('small', ['tiny'], 1)
    await join('big', ['tiny'], 8)
    registry.pick('tiny')?.open(testRequest())
    registry.pick('tiny')?.open(testRequest())
    expect(registry.pick('tiny')?.backendId).toBe('big')
  })

  it('forgets a backend that has gone', async () => {
    const session = await join('a', ['tiny'])
    session.close(1000, 'done')
    await turn()
    expect([registry.pick('tiny'), registry.models()]).toEqual([null, []])
  })

  it('takes nobody any more once it is closed', async () => {
    const session = await join('a', ['tiny'])
    registry.close()
    registry.close()
    expect(await session.closed).toMatchObject({ code: 1001, by: 'peer' })
    const late = registry.connect({ backendId: 'b', name: 'b' }, new MemoryTransport())
    expect(await late.closed).toMatchObject({ code: 1001, by: 'us' })
    expect(registry.backends()).toEqual([])
  })
})
