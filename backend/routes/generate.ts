/** Starts a generation for a route and ties it to its request: abort, usage. */
import type { Context } from 'hono'
import type { BackendEnv } from '../app.ts'
import type { Engine } from '../engine/engine.ts'
import type { GenerationRequest } from '../engine/generation.ts'
import type { GenerationStream } from '../engine/generation-stream.ts'

/**
 * The client's leaving aborts the generation; the engine's final count goes to the tunnel as the
 * request's usage, however the request ends.
 */
export const startGeneration = (
  c: Context<BackendEnv>,
  engine: Engine,
  request: GenerationRequest,
): GenerationStream => {
  const generation = engine.add(request)
  const { signal } = c.req.raw
  const abort = () => generation.abort()
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  const promptTokens = request.promptTokens.length
  const usage = generation.result.then(({ completionTokens }) => {
    signal.removeEventListener('abort', abort)
    return { promptTokens, completionTokens }
  })
  c.env?.exchange?.usage(usage)
  return generation
}
