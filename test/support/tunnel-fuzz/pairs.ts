/** Both ends at work, over a transport that loses, repeats, cuts, splits, merges and garbles messages. */
import assert from 'node:assert/strict'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import type { Exchange } from '../../../shared/tunnel/exchange.ts'
import { decodeMessage } from '../../../shared/tunnel/frame.ts'
import { defaultTiming } from '../../../shared/tunnel/limits.ts'
import { testPost, testUsage } from '../tunnel-frames.ts'
import { MemoryTransport, sessionPair, turns } from '../tunnel-memory.ts'
import { merge, mutate, pick, split, type Random } from './mutate.ts'

class BadTransport extends MemoryTransport {
  numFrames = 0
  readonly #random: Random
  readonly #badness: number
  #kept: Uint8Array | undefined
  #isBad = false

  constructor(random: Random, badness: number) {
    super()
    this.#random = random
    this.#badness = badness
  }

  /** From now on: the handshake has passed. */
  goBad(): void {
    this.#isBad = true
  }

  override send(message: Uint8Array, sent: () => void): void {
    this.numFrames += decodeMessage(message).length
    const random = this.#random
    const kept = this.#kept
    this.#kept = undefined
    const whole = kept ? merge([kept, message]) : message
    if (!this.#isBad || random() > this.#badness) {
      super.send(whole, sent)
      return
    }
    const fate = random()
    if (fate < 0.3) super.send(mutate(whole, random), sent)
    else if (fate < 0.5) for (const piece of split(whole, random)) super.send(piece, () => {})
    else if (fate < 0.6) super.send(whole, () => super.send(whole, () => {}))
    else if (fate < 0.9) this.#kept = whole
    // Else it is lost.
    sent()
  }
}

const oneRound = async (random: Random): Promise<number> => {
  const badness = random() < 0.5 ? 0.002 : 0.02
  const toBackend = new BadTransport(random, badness)
  const toGateway = new BadTransport(random, badness)
  const { gateway, backend } = await sessionPair(
    {
      // Time must not decide: what hangs is cut at the end of the round.
      timing: { ...defaultTiming, syncMs: 1 },
      windowBytes: 16_384,
      handler: async (request, exchange) => {
        exchange.reportUsage(testUsage)
        return random() < 0.5 ? new Response(request.body) : new Response(await request.bytes())
      },
    },
    toBackend,
    toGateway,
  )
  toBackend.goBad()
  toGateway.goBad()
  const exchanges: Exchange[] = []
  for (let i = 0; i < 200; i++) {
    const body = new Uint8Array(pick(random, random() < 0.1 ? 60_000 : 500))
    const exchange = gateway.open({ ...testPost, body })
    exchanges.push(exchange)
    void exchange.body.pipeTo(new WritableStream()).catch(() => {})
    if (random() < 0.1) exchange.cancel('enough')
    await turns(pick(random, 4))
  }
  await turns(10)
  gateway.close(closeCodes.NORMAL, 'enough')
  backend.transportClosed(1006, '')
  for (const { code, reason } of [await gateway.closed, await backend.closed]) {
    assert.notEqual(code, closeCodes.INTERNAL_ERROR, reason)
  }
  await Promise.all([backend.settled, ...exchanges.map(({ settled }) => settled)])
  assert.deepEqual([gateway.openStreams, backend.openStreams], [0, 0])
  return toBackend.numFrames + toGateway.numFrames
}

/** Runs at least `numFrames`; returns how many. @throws AssertionError on a defect */
export const fuzzPairs = async (random: Random, numFrames: number): Promise<number> => {
  let count = 0
  while (count < numFrames) count += await oneRound(random)
  return count
}
