// node-llama-cpp in a process of its own: one context with as many sequences as run together, batched by itself.
import { childSettings } from '../child.ts'
import { importPeer, startPeer, type PeerSequence } from './node-llama-cpp.ts'
import { takeTurns } from '../take-turns.ts'
import { sampling, scenarios, type System } from '../workload.ts'
import type { PeerSettings } from './peer.ts'

const settings = childSettings<PeerSettings>()
const { numSequences, contextSize } = scenarios[settings.scenario]
const module = await importPeer()

const load = async (): Promise<System> => {
  const { flashAttention, batchSize, threads, useMmap } = settings
  const peer = await startPeer(module)
  const model = await peer.loadModel({ modelPath: settings.model, useMmap })
  const context = await model.createContext({
    sequences: numSequences,
    contextSize,
    flashAttention,
    batchSize,
    threads: { ideal: threads, min: threads },
  })
  // Kept and cleared: making contexts or sequences anew for each prompt has hung.
  const free: PeerSequence[] = Array.from({ length: numSequences }, () => context.getSequence())
  let numRequests = 0
  return {
    async generate(prompt, maxTokens, onToken) {
      const sequence = free.pop()
      if (sequence === undefined) throw new Error('there are more prompts than sequences')
      await sequence.clearHistory()
      const seed = ++numRequests
      let count = 0
      for await (const _ of sequence.evaluate(prompt, { ...sampling, seed, yieldEogToken: true })) {
        onToken()
        if (++count === maxTokens) break
      }
      free.push(sequence)
    },
    async close() {
      await context.dispose()
      await model.dispose()
      await peer.dispose()
    },
  }
}

await takeTurns(load)
// Its worker threads keep the process for some seconds.
process.exit(0)
