import { describe, expect, it } from 'vitest'
import { TunnelError } from '../../../shared/tunnel/error.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import { ReceiveStream } from '../../../shared/tunnel/receive-stream.ts'
import { SendStream } from '../../../shared/tunnel/send-stream.ts'

const sender = (windowBytes: number) => {
  let numReady = 0
  const stream = new SendStream({ streamId: 1, windowBytes, ready: () => numReady++ })
  const takeBytes = () => {
    const frame = stream.take()
    return frame && { name: frame.name, bytes: frame.payload.byteLength }
  }
  return { stream, takeBytes, numReady: () => numReady }
}

const receiver = (windowBytes: number) => {
  const grants: number[] = []
  const cancels: unknown[] = []
  const stream = new ReceiveStream({
    windowBytes,
    grant: (delta) => grants.push(delta),
    cancelled: (reason) => cancels.push(reason),
  })
  return { stream, reader: stream.readable.getReader(), grants, cancels }
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

describe('the receiving half', () => {
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
