/** `GET /health`: whether the engine runs, how often it had to be restarted, how much it has to do. */
import type { Handler } from 'hono'
import type { BackendDeps, BackendEnv } from '../app.ts'

export const health =
  ({ engine, model }: BackendDeps): Handler<BackendEnv> =>
  (c) => {
    const stats = engine.stats()
    return c.json({
      status: engine.state,
      restarts: engine.restarts,
      model: model.name,
      running: stats.running,
      waiting: stats.waiting,
      tokens_in_flight: stats.tokensInFlight,
      kv_cache_free: stats.kvCacheFree,
      generated_tokens: stats.generatedTokens,
      prefilled_tokens: stats.prefilledTokens,
      prefix_cache_queries: stats.prefixCacheQueries,
      prefix_cache_hits: stats.prefixCacheHits,
      preemptions: stats.preemptions,
    })
  }
