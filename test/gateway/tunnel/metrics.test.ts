/** The gateway's metrics against frames that were written and read by hand. */
import { describe, expect, test } from 'vitest'
import { BackendRegistry } from '../../../gateway/tunnel/registry.ts'
import { encodeHello } from '../../../shared/tunnel/hello.ts'
import { acceptFrame, encodeMessage, type Frame } from '../../../shared/tunnel/frame.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import { resetFrame } from '../../../shared/tunnel/message.ts'
import type { ErrorCode } from '../../../shared/tunnel/error.ts'
import { parseScrape, samplesOf } from '../../support/scraped.ts'
import { silentLog } from '../../support/silent-log.ts'
import { dataFrame, endFrame, frame, headFrame, testPost } from '../../support/tunnel-frames.ts'
import { RawPeer, testHello, turns } from '../../support/tunnel-memory.ts'

/** A backend that is played by hand, and keeps its own books of what went through. */
class HandPlayed {
  readonly peer = new RawPeer()
  readonly sent = { bytes: 0, messages: 0, frames: 0 }
  readonly received = { bytes: 0, messages: 0, frames: 0 }

  constructor() {
    this.peer.transport.onSend = (message) => {
      this.received.bytes += message.byteLength
      this.received.messages++
    }
  }

  send(...frames: Frame[]): void {
    this.sent.bytes += encodeMessage(frames).byteLength
    this.sent.messages++
    this.sent.frames += frames.length
    this.peer.send(...frames)
  }

  /** Lets the gateway say what it has to. */
  async heard(): Promise<void> {
    await turns()
    this.received.frames += this.peer.frames.length
    this.peer.frames.length = 0
  }
}

const letIn = async (registry: BackendRegistry, name: string, generation = 1) => {
  const hand = new HandPlayed()
  const session = registry.connect({ backendId: `id-${name}`, name }, hand.peer.transport)
  hand.peer.connect(session)
  hand.send(frame('HELLO', 0, encodeHello({ ...testHello, generation })))
  await hand.heard()
  return { hand, session }
}

const reset = (streamId: number, code: ErrorCode) => resetFrame(streamId, { code, message: '' })

describe('the metrics of a gateway', () => {
  test('are what was sent and received, to the byte', async () => {
    const registry = new BackendRegistry({ log: silentLog })
    const { hand, session } = await letIn(registry, 'gpu')
    const exchanges = Array.from({ length: 6 }, () => session.open(testPost))
    for (const { head } of exchanges) head.catch(() => {})
    await hand.heard()
    hand.send(acceptFrame(1), headFrame(1), dataFrame(1, 100), endFrame(1))
    hand.send(reset(3, 'OVERLOADED'), reset(5, 'OVERLOADED'), reset(7, 'REFUSED'))
    await new Response(exchanges[0]?.body).arrayBuffer()
    exchanges[4]?.cancel('gone')
    await hand.heard()

    const text = registry.metrics()
    expect(samplesOf(text, 'connections', 'generation', 'connects_total', 'closes_total')).toEqual({
      'connections{backend="gpu",state="silent"}': 0,
      'connections{backend="gpu",state="stalled"}': 0,
      'connections{backend="gpu",state="draining"}': 0,
      'connections{backend="gpu",state="ready"}': 1,
      'generation{backend="gpu",connection="0"}': 1,
      'connects_total{backend="gpu"}': 1,
    })
    // Stream 9 was cancelled and waits for its END; 11 is open.
    expect(samplesOf(text, 'streams_open', 'streams_total', 'resets_total')).toEqual({
      'streams_open{backend="gpu"}': 2,
      'streams_total{backend="gpu"}': 6,
      'resets_total{backend="gpu",reason="OVERLOADED",by="backend"}': 2,
      'resets_total{backend="gpu",reason="REFUSED",by="backend"}': 1,
      'resets_total{backend="gpu",reason="CANCEL",by="gateway"}': 1,
    })
    expect(samplesOf(text, 'bytes_total', 'messages_total', 'frames_total')).toEqual({
      'bytes_total{backend="gpu",direction="sent"}': hand.received.bytes,
      'bytes_total{backend="gpu",direction="received"}': hand.sent.bytes,
      'messages_total{backend="gpu",direction="sent"}': hand.received.messages,
      'messages_total{backend="gpu",direction="received"}': hand.sent.messages,
      'frames_total{backend="gpu",direction="sent"}': hand.received.frames,
      'frames_total{backend="gpu",direction="received"}': hand.sent.frames,
    })
    registry.close()
  })

  test('count a body that has to wait for credit, once a wait', async () => {
    const registry = new BackendRegistry({ log: silentLog })
    const { hand, session } = await letIn(registry, 'gpu')
    const body = new Uint8Array(limits.requestWindowBytes + 1)
    const exchange = session.open({ ...testPost, body })
    exchange.head.catch(() => {})
    hand.peer.send(acceptFrame(1))
    await turns(40)
    expect(samplesOf(registry.metrics(), 'window_stalls_total')).toEqual({
      'window_stalls_total{backend="gpu",window="stream"}': 1,
      'window_stalls_total{backend="gpu",window="connection"}': 0,
    })
    registry.close()
  })

  test('go on from where they were when a backend comes back, and say how it left', async () => {
    const registry = new BackendRegistry({ log: silentLog })
    const first = await letIn(registry, 'gpu')
    const exchange = first.session.open(testPost)
    exchange.head.catch(() => {})
    await first.hand.heard()
    exchange.cancel('gone')
    await first.hand.heard()
    const names = ['streams_total', 'resets_total', 'bytes_total', 'messages_total', 'frames_total']
    const before = samplesOf(registry.metrics(), ...names)
    first.session.transportClosed(1006, 'cut')
    await turns()
    expect(samplesOf(registry.metrics(), ...names)).toEqual(before)
    expect(samplesOf(registry.metrics(), 'connections', 'streams_open')).toMatchObject({
      'connections{backend="gpu",state="ready"}': 0,
      'streams_open{backend="gpu"}': 0,
    })

    const second = await letIn(registry, 'gpu', 2)
    second.session.open(testPost).head.catch(() => {})
    await second.hand.heard()
    const text = registry.metrics()
    const sum = (which: 'sent' | 'received') => first.hand[which].bytes + second.hand[which].bytes
    expect(samplesOf(text, 'streams_total', 'bytes_total', 'connects_total')).toEqual({
      'streams_total{backend="gpu"}': 2,
      'bytes_total{backend="gpu",direction="sent"}': sum('received'),
      'bytes_total{backend="gpu",direction="received"}': sum('sent'),
      'connects_total{backend="gpu"}': 2,
    })
    second.session.close(1001, 'bye')
    await turns()
    expect(samplesOf(registry.metrics(), 'closes_total')).toEqual({
      'closes_total{backend="gpu",reason="OTHER"}': 1,
      'closes_total{backend="gpu",reason="GOING_AWAY"}': 1,
    })
    registry.close()
  })

  test('are of the format, whatever a backend is called', async () => {
    const registry = new BackendRegistry({ log: silentLog })
    await letIn(registry, 'a "b" \\ c\nd')
    const { samples, types } = parseScrape(registry.metrics())
    const name = String.raw`a \"b\" \\ c\nd`
    expect(samples.get(`burrow_tunnel_streams_open{backend="${name}"}`)).toBe(0)
    for (const [metric, type] of types) expect(metric.endsWith('_total')).toBe(type === 'counter')
    registry.close()
  })
})
