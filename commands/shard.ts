/** `burrow shard`. */
import { stopSignals } from '../gateway/stop-signals.ts'
import type { FlagValues } from '../shared/flags.ts'
import { log } from './command-log.ts'

export const shard = async (flags: FlagValues, words: readonly string[]): Promise<void> => {
  const { parseShardConfig, runShard, ShardStopped } = await import('../backend/shard.ts')
  const config = parseShardConfig(words, flags, process.env)
  const { stop, hurry } = stopSignals(log, 'stopping: what is finished is kept')
  void hurry.then(() => process.exit(130))
  const stopping = new AbortController()
  void stop.then(() => stopping.abort())
  const { stdout, stderr } = process
  try {
    await runShard(config, { output: stdout, progress: stderr, signal: stopping.signal })
  } catch (error) {
    if (error instanceof ShardStopped) process.exitCode = 130
    throw error
  }
}
