/**
 * One keep-alive connection of the load generator. It reads HTTP/1.1 answers by hand, because a
 * real client would cost more than some of what is measured.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const LF = 10

type State = 'head' | 'sized' | 'chunkSize' | 'chunk' | 'chunkEnd' | 'trailer'

export class HttpClient {
  readonly #socket: Socket
  #state: State = 'head'
  #head = ''
  /** Of the body or the chunk, still to come. */
  #bytesLeft = 0
  #line = ''
  #status = 0
  #onBody: (piece: Buffer) => void = () => {}
  #done: { resolve: (status: number) => void; reject: (error: Error) => void } | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => this.#receive(bytes))
    socket.on('error', () => {})
    socket.on('close', () => this.#done?.reject(new Error('the connection ended')))
  }

  static async connect(port: number): Promise<HttpClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new HttpClient(socket)
  }

  /** Sends one whole request; resolves with the status when the answer is whole. */
  request(message: Buffer, onBody: (piece: Buffer) => void): Promise<number> {
    this.#onBody = onBody
    return new Promise((resolve, reject) => {
      this.#done = { resolve, reject }
      this.#socket.write(message)
    })
  }

  close(): void {
    this.#done = undefined
    this.#socket.destroy()
  }

  #receive(bytes: Buffer): void {
    let at = 0
    while (at < bytes.byteLength) {
      switch (this.#state) {
        case 'head':
          at = this.#readHead(bytes, at)
          break
        case 'sized':
        case 'chunk':
          at = this.#readBody(bytes, at)
          break
        default:
          at = this.#readLine(bytes, at)
      }
    }
  }

  #readHead(bytes: Buffer, at: number): number {
    const before = this.#head.length
    this.#head += bytes.toString('latin1', at)
    const end = this.#head.indexOf('\r\n\r\n')
    if (end === -1) return bytes.byteLength
    const head = this.#head.slice(0, end)
    this.#head = ''
    this.#status = Number(head.slice(9, 12))
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      this.#state = 'chunkSize'
    } else {
      this.#bytesLeft = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
      this.#state = 'sized'
      if (this.#bytesLeft === 0) this.#finish()
    }
    return at + end + 4 - before
  }

  #readBody(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.byteLength, at + this.#bytesLeft)
    this.#bytesLeft -= end - at
    this.#onBody(at === 0 && end === bytes.byteLength ? bytes : bytes.subarray(at, end))
    if (this.#bytesLeft === 0) {
      if (this.#state === 'sized') this.#finish()
      else this.#state = 'chunkEnd'
    }
    return end
  }

  /** A line of the chunked framing. */
  #readLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(LF, at)
    this.#line += bytes.toString('latin1', at, end === -1 ? bytes.byteLength : end)
    if (end === -1) return bytes.byteLength
    const line = this.#line
    this.#line = ''
    if (this.#state === 'chunkEnd') {
      this.#state = 'chunkSize'
    } else if (this.#state === 'chunkSize') {
      this.#bytesLeft = Number.parseInt(line, 16)
      this.#state = this.#bytesLeft === 0 ? 'trailer' : 'chunk'
    } else if (line === '\r' || line === '') {
      this.#finish()
    }
    return end + 1
  }

  #finish(): void {
    this.#state = 'head'
    const done = this.#done
    this.#done = undefined
    done?.resolve(this.#status)
  }
}
