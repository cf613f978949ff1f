import { describe, expect, it } from 'vitest'
import { ReceiveCredit, SendCredit } from '../../../shared/tunnel/connection-credit.ts'
import { Counters } from '../../../shared/tunnel/counters.ts'
import { TunnelError } from '../../../shared/tunnel/error.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import { ReceiveStream } from '../../../shared/tunnel/receive-stream.ts'
import { SendStream } from '../../../shared/tunnel/send-stream.ts'

const sender = (windowBytes: number, connectionBytes: number = limits.maxCreditBytes) => {
  let numReady = 0
  const connection = new SendCredit(connectionBytes, () => numReady++)
  const counters = new Counters()
  const ready = () => numReady++
  const stream = new SendStream({ streamId: 1, windowBytes, connection, counters, ready })
  const takeBytes = () => {
    const frame = stream.take()
    return frame && { name: frame.name, bytes: frame.payload.byteLength }
  }
  return { stream, connection, counters, takeBytes, numReady: () => numReady }
}

const receiver = (windowBytes: number, roundTripMs?: number) => {
  const grants: number[] = []
  const cancels: unknown[] = []
  const connectionGrants: number[] = []
  const clock = { ms: 0 }
  const connection = new ReceiveCredit({
    windowBytes: limits.responseConnectionWindowBytes,
    streamWindowBytes: windowBytes,
    maxStreams: 1,
    grant: (delta) => connectionGrants.push(delta),
  })
  const stream = new ReceiveStream({
    windowBytes,
    connection,
    pace: { now: () => clock.ms, roundTripMs },
    grant: (delta) => grants.push(delta),
    cancelled: (reason) => cancels.push(reason),
  })
  const reader = stream.readable.getReader()
  return { stream, reader, grants, cancels, connection, connectionGrants, clock }
}

const settledWithin = async (promise: Promise<unknown>): Promise<boolean> => {
  let isSettled = false
  const mark = () => {
    isSettled = true
  }
  promise.then(mark, mark)
  await new Promise((resolve) => setImmediate(resolve))
  return isSettled
}

describe('the sending half', () => {
  it('sends what the credit allows, in frames of at most 16 KiB, and waits for more', async () => {
    const { stream, takeBytes } = sender(20_000)
    const written = stream.write(new Uint8Array(30_000))
    expect([takeBytes(), takeBytes(), takeBytes()]).toEqual([
      { name: 'DATA', bytes: 16_384 },
      { name: 'DATA', bytes: 3_616 },
      undefined,
    ])
    expect(await settledWithin(written)).toBe(false)
    stream.grant(50_000)
    expect(takeBytes()).toEqual({ name: 'DATA', bytes: 10_000 })
    await written
    stream.end(new Uint8Array(0))
    expect([takeBytes(), takeBytes()]).toEqual([{ name: 'END', bytes: 0 }, undefined])
  })

  it('needs no credit for END', () => {
    const { stream, takeBytes } = sender(0)
    stream.end(new Uint8Array(2))
    expect(takeBytes()).toEqual({ name: 'END', bytes: 2 })
  })

  it('rejects the waiting write when it is aborted, and still says END if asked', async () => {
    const { stream, takeBytes } = sender(0)
    const written = stream.write(new Uint8Array(1))
    const error = new TunnelError('CANCEL', 'gone')
    stream.abort(error)
    await expect(written).rejects.toBe(error)
    await expect(stream.write(new Uint8Array(1))).rejects.toBe(error)
    expect(takeBytes()).toBeUndefined()
    stream.endAborted(new Uint8Array(3))
    expect(takeBytes()).toEqual({ name: 'END', bytes: 3 })
  })

  it('refuses a second chunk while one waits', () => {
    const { stream } = sender(0)
    void stream.write(new Uint8Array(1))
    expect(() => stream.write(new Uint8Array(1))).toThrow('a chunk is still waiting')
  })

  it('refuses credit over 2^31 - 1', () => {
    const { stream } = sender(16)
    stream.grant(limits.maxCreditBytes - 16)
    expect(() => stream.grant(1)).toThrow(expect.objectContaining({ code: 'FLOW_CONTROL' }))
  })
})

describe('the credit of a connection', () => {
  it('is used up by all its streams, and gives each that waited its turn', () => {
    const { stream, connection, counters, takeBytes, numReady } = sender(20_000, 10_000)
    void stream.write(new Uint8Array(30_000))
    expect([takeBytes(), takeBytes()]).toEqual([{ name: 'DATA', bytes: 10_000 }, undefined])
    const before = numReady()
    connection.grant(4_000)
    expect(numReady()).toBe(before + 1)
    expect([takeBytes(), takeBytes()]).toEqual([{ name: 'DATA', bytes: 4_000 }, undefined])
    connection.grant(100_000)
    expect([takeBytes(), takeBytes()]).toEqual([{ name: 'DATA', bytes: 6_000 }, undefined])
    expect([counters.connectionWindowStalls, counters.streamWindowStalls]).toEqual([2, 1])
    expect(() => connection.grant(limits.maxCreditBytes)).toThrow(
      expect.objectContaining({ code: 'FLOW_CONTROL' }),
    )
  })

  it('comes back for what was read, and for what was dropped', async () => {
    const { stream, reader, connection, connectionGrants } = receiver(100)
    const window = limits.responseConnectionWindowBytes
    stream.push(new Uint8Array(60))
    expect(connection.leftBytes).toBe(window - 60)
    await reader.read()
    expect(connection.leftBytes).toBe(window)
    stream.push(new Uint8Array(50))
    stream.abort(new TunnelError('CANCEL', 'gone'))
    expect(connection.leftBytes).toBe(window)
    stream.push(new Uint8Array(30))
    expect(connection.leftBytes).toBe(window - 30)
    stream.push(new Uint8Array(20))
    expect([connection.leftBytes, connectionGrants]).toEqual([window, [60, 50, 50]])
  })

  it('keeps the initial window of every stream back from growth', () => {
    const credit = (maxStreams: number) =>
      new ReceiveCredit({
        windowBytes: 1_000,
        streamWindowBytes: 100,
        maxStreams,
        grant: () => {},
      })
    const some = credit(8)
    expect([some.grow(100), some.grow(200), some.grow(100)]).toEqual([true, false, true])
    some.shrink(200)
    expect(some.grow(200)).toBe(true)
    expect(credit(10).grow(1)).toBe(false)
  })
})

describe('the receiving half', () => {
  it('grows its window while the reader waits for more than a round trip brings', async () => {
    const { stream, reader, grants, clock } = receiver(1_000, 10)
    const turn = async (bytes: number, ms: number) => {
      clock.ms += ms
      stream.push(new Uint8Array(bytes))
      await reader.read()
    }
    await turn(500, 9)
    expect(grants).toEqual([500 + 1_000])
    await turn(1_000, 9)
    expect(grants).toEqual([1_500, 1_000 + 2_000])
    await turn(2_000, 10)
    expect(grants).toEqual([1_500, 3_000, 2_000])
  })

  it('grows no window of a reader who lags, or beyond 1 MiB', async () => {
    const lagging = receiver(1_000, 10)
    lagging.stream.push(new Uint8Array(500))
    lagging.stream.push(new Uint8Array(500))
    await lagging.reader.read()
    expect(lagging.grants).toEqual([500])
    const large = receiver(limits.grownWindowBytes - 1, 10)
    large.stream.push(new Uint8Array(limits.grownWindowBytes - 1))
    await large.reader.read()
    expect(large.grants).toEqual([limits.grownWindowBytes])
  })

  it('grants what the reader took, from half a window on', async () => {
    const { stream, reader, grants } = receiver(100)
    stream.push(new Uint8Array(49))
    stream.push(new Uint8Array(51))
    expect(grants).toEqual([])
    await reader.read()
    expect(grants).toEqual([])
    await reader.read()
    expect(grants).toEqual([100])
    stream.push(new Uint8Array(100))
    expect(() => stream.push(new Uint8Array(1))).toThrow(
      expect.objectContaining({ code: 'FLOW_CONTROL' }),
    )
  })

  it('refuses more than the credit, read or not', async () => {
    const { stream, reader } = receiver(100)
    stream.push(new Uint8Array(49))
    await reader.read()
    expect(() => stream.push(new Uint8Array(52))).toThrow(
      expect.objectContaining({ code: 'FLOW_CONTROL' }),
    )
  })

  it('hands a waiting reader each payload as it comes', async () => {
    const { stream, reader } = receiver(100)
    const first = reader.read()
    stream.push(Uint8Array.of(1))
    expect(await first).toEqual({ done: false, value: Uint8Array.of(1) })
  })

  it('packs small payloads together while nobody reads, and keeps no view of the message', async () => {
    const { stream, reader } = receiver(limits.minWindowBytes)
    const payload = Uint8Array.of(1, 2, 3, 4)
    for (let i = 0; i < 4_096; i++) stream.push(payload)
    payload.fill(9)
    stream.end()
    const chunks: Uint8Array[] = []
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      chunks.push(next.value)
    }
    expect(chunks.map((chunk) => chunk.byteLength)).toEqual([4, 16_380])
    expect(Buffer.concat(chunks)).toEqual(Buffer.from('01020304'.repeat(4_096), 'hex'))
  })

  it('delivers what came before an error, and then the error', async () => {
    const { stream, reader } = receiver(100)
    const error = new TunnelError('CONNECTION_LOST', 'cut')
    stream.push(Uint8Array.of(1))
    stream.push(Uint8Array.of(2))
    stream.end(error)
    expect(await reader.read()).toEqual({ done: false, value: Uint8Array.of(1) })
    expect(await reader.read()).toEqual({ done: false, value: Uint8Array.of(2) })
    await expect(reader.read()).rejects.toBe(error)
  })

  it('drops what it holds, and what comes, when the reader cancels', async () => {
    const { stream, reader, grants, cancels } = receiver(100)
    stream.push(new Uint8Array(60))
    await reader.cancel('enough')
    stream.push(new Uint8Array(40))
    expect({ cancels, grants }).toEqual({ cancels: ['enough'], grants: [] })
  })
})
