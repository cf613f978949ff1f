/** Writing a web response to Node's: back-pressure, early leaving, broken bodies. */
import type { ServerResponse } from 'node:http'

/** A client that takes nothing for so long holds a place in the engine's batch in vain. */
export const defaultStallMs = 60_000

/**
 * Sends the response. When its body errors, the connection is destroyed, so that a part never
 * passes for the whole; when the client leaves, or reads nothing for `stallMs`, the body is
 * cancelled. (Hono's own writer prints such errors and ends the body with their text.) Never
 * rejects; resolves when the system has it all, or the connection is gone.
 */
export const sendResponse = async (
  response: Response,
  outgoing: ServerResponse,
  stallMs: number = defaultStallMs,
): Promise<void> => {
  const reader = response.body?.getReader()
  const cancel = () => void reader?.cancel(new Error('the client left')).catch(() => {})
  outgoing.once('close', cancel)
  // Errors of the socket always come with 'close'.
  outgoing.on('error', () => {})
  try {
    if (outgoing.destroyed) throw new Error('the client left')
    const hold = inOnePiece(outgoing)
    hold()
    // As pairs: there may be several of a name.
    outgoing.writeHead(response.status, [...response.headers].flat())
    if (reader) {
      // The head is due at once: the first token may take its time.
      outgoing.flushHeaders()
      await pump(reader, outgoing, { hold, stallMs })
    }
    hold()
    const finished = once(outgoing, 'finish', stallMs)
    outgoing.end()
    await finished
  } catch {
    cancel()
    outgoing.destroy()
  } finally {
    outgoing.off('close', cancel)
  }
}

/**
 * What is written in one turn of the event loop after a call of the result leaves together: head,
 * chunks and end of a short answer are one write to the socket and not four.
 */
const inOnePiece = (outgoing: ServerResponse): (() => void) => {
  let isHeld = false
  return () => {
    if (isHeld) return
    isHeld = true
    // The socket and not the response, whose end() would overtake what its cork holds back.
    const { socket } = outgoing
    socket?.cork()
    // After all promises that what has come resolves.
    process.nextTick(() => {
      isHeld = false
      socket?.uncork()
    })
  }
}

/** Ends when the body does, or when 'close' has cancelled it. */
const pump = async (
  reader: ReadableStreamDefaultReader<Uint8Array>,
  outgoing: ServerResponse,
  { hold, stallMs }: { readonly hold: () => void; readonly stallMs: number },
): Promise<void> => {
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    hold()
    if (!outgoing.write(value)) await once(outgoing, 'drain', stallMs)
  }
}

/** Waits for the event, or until the client is gone: one that stalls is cut. */
const once = (
  outgoing: ServerResponse,
  event: 'drain' | 'finish',
  stallMs: number,
): Promise<void> =>
  new Promise((resolve) => {
    const stalled = setTimeout(() => outgoing.destroy(), stallMs)
    const done = () => {
      clearTimeout(stalled)
      outgoing.off(event, done).off('close', done)
      resolve()
    }
    if (outgoing.destroyed) done()
    else outgoing.on(event, done).on('close', done)
  })
