/** One client's request: sent, read, and compared with what it was owed. */
import { request as httpRequest, type Agent, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Violations } from './violations.ts'
import { wholeAnswer, type Ask, type Manner } from './work.ts'

export type ClientOptions = {
  readonly url: string
  readonly key: string
  readonly agent: Agent
  readonly violations: Violations
}

/** How it went, in one word for the summary: `whole`, `left`, `broken`, `error event`, or a status. */
export type Outcome = string

export const sendRequest = async (
  { url, key, agent, violations }: ClientOptions,
  ask: Ask,
  { leavesAfterBytes, readPauseMs }: Manner,
): Promise<Outcome> => {
  let hasLeft = false
  const outgoing = httpRequest(`${url}/v1/completions`, {
    method: 'POST',
    agent,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  })
  const leave = () => {
    hasLeft = true
    outgoing.destroy()
  }
  // One that is to leave before there is anything to read.
  const early = leavesAfterBytes < 100 ? setTimeout(leave, leavesAfterBytes) : undefined
  const chunks: Buffer[] = []
  let numBytes = 0
  let status = 0
  try {
    const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.on('response', resolve).on('error', reject)
      outgoing.end(JSON.stringify(ask))
    })
    status = incoming.statusCode ?? 0
    for await (const chunk of incoming) {
      chunks.push(chunk)
      numBytes += chunk.byteLength
      if (numBytes >= leavesAfterBytes) leave()
      if (readPauseMs > 0) await sleep(readPauseMs)
    }
  } catch {
    const how = hasLeft ? 'left' : 'broken'
    if (status === 200) checkPart(Buffer.concat(chunks), ask, how, violations)
    return how
  } finally {
    clearTimeout(early)
  }
  const body = Buffer.concat(chunks)
  if (status !== 200) return String(status)
  return checkEnd(body, ask, violations)
}

const describe = (ask: Ask): string =>
  JSON.stringify({ ...ask, upload: `${ask.upload.length} characters` })

/** An answer that ended: whole, or with an error event in place of the rest. */
const checkEnd = (body: Buffer, ask: Ask, violations: Violations): Outcome => {
  if (body.equals(wholeAnswer(ask))) {
    if (ask.failsAt >= 0) violations.add(`a failed answer came whole: ${describe(ask)}`)
    return 'whole'
  }
  const text = body.toString()
  const at = text.lastIndexOf('data: {"error":')
  if (ask.kind !== 'events' || at === -1) {
    violations.add(`an answer ended well with wrong bytes (${body.byteLength}): ${describe(ask)}`)
    return 'wrong'
  }
  checkPart(Buffer.from(text.slice(0, at)), ask, 'error event', violations)
  if (!text.endsWith('}\n\n')) violations.add(`a half error event: ${describe(ask)}`)
  return 'error event'
}

/**
 * An answer that did not end well: a true beginning. So `[DONE]` can only stand where it belongs, after
 * everything else.
 */
const checkPart = (part: Buffer, ask: Ask, how: string, violations: Violations): void => {
  if (!part.equals(wholeAnswer(ask).subarray(0, part.byteLength))) {
    violations.add(`wrong bytes before the end (${how}, ${part.byteLength}): ${describe(ask)}`)
  }
}
