/** Reading a request body into memory, within a limit. */
import { ApiError, InvalidRequest } from '../shared/errors.ts'
import { expectedAnswerTokens } from '../shared/expected-tokens.ts'
import { isFields, type Fields } from '../shared/parse.ts'

/** The longest prompts are far below 1 MiB; the rest is room for images as base64. */
export const maxRequestBytes = 8 * 1024 * 1024

/**
 * The whole body, at most `limit` bytes, counted as they come: `content-length` is not believed.
 * Fails with 413 beyond the limit, and with the signal's reason when it aborts.
 */
export const readBody = async (
  request: Pick<Request, 'body'>,
  limit: number,
  signal: AbortSignal,
): Promise<Uint8Array> => {
  signal.throwIfAborted()
  if (!request.body) return new Uint8Array()
  const reader = request.body.getReader()
  const stop = () => void reader.cancel(signal.reason).catch(() => {})
  signal.addEventListener('abort', stop)
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      size += value.byteLength
      if (size > limit) {
        await reader.cancel()
        throw new ApiError(413, `The request body is larger than the ${limit} bytes allowed.`, {
          code: 'request_too_large',
        })
      }
      chunks.push(value)
    }
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw new ApiError(400, 'The request body ended before it was whole.', { cause: error })
  } finally {
    signal.removeEventListener('abort', stop)
  }
  signal.throwIfAborted()
  return chunks.length === 1 && chunks[0] ? chunks[0] : concat(chunks, size)
}

const concat = (chunks: readonly Uint8Array[], size: number): Uint8Array => {
  const whole = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.byteLength
  }
  return whole
}

/** What the gateway itself reads of a generation request; the backend judges the rest. */
export type GenerationRequest = {
  readonly model: string
  readonly stream: boolean
  /** What it will take of an engine, as far as that can be told. */
  readonly expectedTokens: number
  readonly fields: Fields
}

/** Reads a JSON body. Fails with a 400 that names what is missing. */
export const parseGenerationRequest = (body: Uint8Array): GenerationRequest => {
  const value = parseJson(body)
  if (!isFields(value)) throw new InvalidRequest('The request body must be a JSON object.')
  const { model, stream } = value
  if (typeof model !== 'string' || model === '') {
    throw new InvalidRequest('You must provide a model parameter: a string.', 'model')
  }
  return {
    model,
    stream: stream === true,
    expectedTokens: expectedTokens(value, body.byteLength),
    fields: value,
  }
}

/** Of English text and JSON around it; other languages have fewer. */
const bytesPerToken = 4
/** The most that a prompt is counted for: the largest bodies are images. */
const maxPromptTokens = 16_384

const expectedTokens = (from: Fields, bodyBytes: number): number => {
  const promptTokens = Math.min(Math.ceil(bodyBytes / bytesPerToken), maxPromptTokens)
  const limit = count(from['max_completion_tokens']) ?? count(from['max_tokens'])
  return promptTokens + (count(from['n']) ?? 1) * expectedAnswerTokens(limit)
}

/** Undefined for what is no count: the backend says what is wrong with it. */
const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= maxCount
    ? value
    : undefined

const maxCount = 1_000_000

const parseJson = (body: Uint8Array): unknown => {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body)
    return JSON.parse(text)
  } catch (cause) {
    throw new ApiError(
      400,
      'We could not parse the JSON body of your request. It must be valid JSON in UTF-8.',
      { cause },
    )
  }
}
