/** What a gateway says when it does not upgrade the tunnel's request. */
import type { IncomingMessage } from 'node:http'
import { isFields } from '../../shared/parse.ts'

const maxBodyBytes = 16 * 1024
const maxReasonChars = 500

/** The message of its error; undefined where it says none within `timeoutMs`, or is no gateway. */
export const refusalReason = async (
  response: IncomingMessage,
  timeoutMs: number,
): Promise<string | undefined> => {
  const late = setTimeout(() => response.destroy(), timeoutMs)
  try {
    const chunks: Buffer[] = []
    let numBytes = 0
    for await (const chunk of response) {
      numBytes += chunk.length
      if (numBytes > maxBodyBytes) return undefined
      chunks.push(chunk)
    }
    return messageOf(JSON.parse(Buffer.concat(chunks).toString()))
  } catch {
    return undefined
  } finally {
    clearTimeout(late)
  }
}

const messageOf = (body: unknown): string | undefined => {
  const error = isFields(body) ? body['error'] : undefined
  const message = isFields(error) ? error['message'] : undefined
  return typeof message === 'string' ? message.slice(0, maxReasonChars) : undefined
}
