import { describe, expect, it } from 'vitest'
import type { ServedExchange } from '../../../shared/tunnel/exchange.ts'
import { acceptFrame } from '../../../shared/tunnel/frame.ts'
import { parseReset } from '../../../shared/tunnel/message.ts'
import { readyGateway } from '../../support/raw-sessions.ts'
import { endFrame } from '../../support/tunnel-frames.ts'
import { sessionPair, turns } from '../../support/tunnel-memory.ts'
import { endless, get, quickTiming, usage } from './exchanges.ts'

describe('a deadline', () => {
  it('stops the work at the backend, which still says what was used', async () => {
    let signal: AbortSignal | undefined
    let served: ServedExchange | undefined
    const { gateway } = await sessionPair({
      handler: async (request, exchange) => {
        signal = request.signal
        served = exchange
        return endless(request, exchange)
      },
    })
    const exchange = gateway.open({ ...get, deadlineMs: 20, attempt: 2, ticket: 't' })
    expect(await exchange.settled).toEqual({
      outcome: 'failed',
      errorCode: 'DEADLINE',
      usage,
      isFinal: true,
    })
    expect(signal?.reason).toMatchObject({ code: 'DEADLINE' })
    expect(served).toMatchObject({ deadlineMs: 20, attempt: 2, ticket: 't', requestId: 'r' })
  })

  it('means nothing to an exchange that is over', async () => {
    const { gateway } = await sessionPair({ handler: async () => new Response('ok') })
    const exchange = gateway.open({ ...get, deadlineMs: 1_000 })
    expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
  })

  it('is kept by the gateway too, for a backend that does not', async () => {
    const { peer, session } = await readyGateway({ timing: { ...quickTiming, cancelMs: 300 } })
    const exchange = session.open({ ...get, deadlineMs: 1 })
    await turns()
    peer.send(acceptFrame(1))
    await expect(exchange.head).rejects.toMatchObject({ code: 'DEADLINE', mayHaveRun: true })
    await turns()
    const reset = peer.frames.find(({ name }) => name === 'RESET')
    expect(parseReset(reset?.payload ?? new Uint8Array(4)).code).toBe('DEADLINE')
    peer.send(endFrame(1, { usage }))
    expect(await exchange.settled).toEqual({
      outcome: 'failed',
      errorCode: 'DEADLINE',
      usage,
      isFinal: true,
    })
    session.close(1000, '')
  })
})
