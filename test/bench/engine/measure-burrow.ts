// Burrow's engine in a process of its own, as the backend starts it: tokenizer, conversion (there already), thread.
import { OnnxEngine } from '../../../backend/engine/engine.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { loadTextFormat } from '../../../backend/tokenizer/load-tokenizer.ts'
import { generationRequest } from '../../support/generation-request.ts'
import type { BurrowSettings } from './burrow.ts'
import { childSettings } from './child.ts'
import { parseFormat } from './models/converted-model.ts'
import { takeTurns } from './take-turns.ts'
import { sampling, scenarios, type System } from './workload.ts'

const settings = childSettings<BurrowSettings>()
const { numSequences, contextSize } = scenarios[settings.scenario]

const load = async (): Promise<System> => {
  const { tokenizer } = await loadTextFormat(settings.model)
  const { weights, cacheDtype } = parseFormat(settings.format)
  const { vocabSize } = await convertModel(settings.model, settings.graphFolder, {
    format: weights,
    parallel: settings.parallel,
  })
  const engine = await OnnxEngine.start({
    modelFolder: settings.model,
    graphFolder: settings.graphFolder,
    tokenizer,
    numSlots: numSequences,
    maxNumSeqs: numSequences,
    maxNumRequests: 64,
    maxNumBatchedTokens: 256,
    vocabSize,
    maxModelLen: contextSize,
    endOfSequenceTokens: [2],
    intraOpNumThreads: settings.threads,
    cacheDtype,
  })
  let numRequests = 0
  return {
    async generate(promptTokens, maxTokens, onToken) {
      const id = String(numRequests++)
      const request = { id, promptTokens, maxTokens, ignoreEos: true }
      const seed = numRequests
      const all = generationRequest({ ...request, sampling: { ...sampling, seed } })
      let count = 0
      for await (const { completionTokens, end } of engine.add(all)) {
        if (completionTokens > count) onToken()
        count = completionTokens
        if (end === 'error') throw new Error('the engine failed')
      }
    },
    close: () => engine.close(),
  }
}

await takeTurns(load)
