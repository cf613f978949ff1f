/**
 * Whether a request's text depends on who else is in the batch: random requests of the bundled model, greedy and
 * drawn, each alone and then all together, coming at random times into few slots, for every way to split the
 * model and every form of its weights. Prints how many texts differ, and how far apart the two likeliest (or, where
 * it was drawn, the two drawn) tokens were at the first difference.
 *
 *   node test/bench/engine/company.ts [requests]
 */
import { join } from 'node:path'
import { bundledModelFolder } from '../../../backend/config.ts'
import type { GenerationRequest } from '../../../backend/engine/generation.ts'
import { StepLoop, type DecoderPort } from '../../../backend/engine/step-loop.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import type { FormatWish } from '../../../backend/conversion/format-wish.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { randomSource } from '../../backend/graph/random-source.ts'
import { generationRequest } from '../../support/generation-request.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'

const numRequests = Number(process.argv[2] ?? 120)
const vocabSize = 640
const tokenizer = loadTokenizer(bundledModelFolder)
const random = randomSource(1)
const upTo = (count: number): number => Math.floor(((random() + 1) / 2) * count)

const requests: readonly GenerationRequest[] = Array.from({ length: numRequests }, (_, i) =>
  generationRequest({
    id: `${i}`,
    promptTokens: Array.from({ length: 1 + upTo(90) }, () => 2 + upTo(vocabSize - 2)),
    maxTokens: 8 + upTo(56),
    ignoreEos: true,
    logprobs: 2,
    // No rows of others are taken over: what is compared is computed.
    cacheSalt: `${i}`,
    sampling: { temperature: i % 2, topP: i % 3 === 0 ? 0.9 : 1, seed: i },
  }),
)

/** The tokens of each answer with their log-probabilities and the likeliest two. */
type Step = { readonly token: number; readonly logprob: number; readonly lead: number }
type Answers = Map<string, Step[]>

const loopOver = (decoder: DecoderPort): StepLoop =>
  new StepLoop(decoder, tokenizer, {
    numSlots: 16,
    maxNumSeqs: 12,
    maxNumBatchedTokens: 48,
    vocabSize,
    endOfSequenceTokens: new Set(),
  })

const stepInto = (answers: Answers, loop: StepLoop): void => {
  for (const { id, logprob } of loop.step()) {
    if (logprob === undefined) continue
    const [first, second] = logprob.top
    const lead = (first?.logprob ?? 0) - (second?.logprob ?? 0)
    answers.set(id, [...(answers.get(id) ?? []), { ...logprob, lead }])
  }
}

const alone = (decoder: DecoderPort): Answers => {
  const answers: Answers = new Map()
  for (const request of requests) {
    const loop = loopOver(decoder)
    loop.add(request)
    while (loop.hasWork) stepInto(answers, loop)
  }
  return answers
}

const together = (decoder: DecoderPort): Answers => {
  const answers: Answers = new Map()
  const loop = loopOver(decoder)
  const coming = [...requests]
  while (coming.length > 0 || loop.hasWork) {
    if (upTo(4) === 0) for (const request of coming.splice(0, 1 + upTo(5))) loop.add(request)
    stepInto(answers, loop)
  }
  return answers
}

const compare = (a: Answers, b: Answers): string => {
  let different = 0
  let tokens = 0
  let logprobs = 0
  const leads: number[] = []
  for (const [id, steps] of a) {
    const others = b.get(id) ?? []
    const at = steps.findIndex(({ token }, i) => token !== others[i]?.token)
    const same = at === -1 ? steps.length : at
    tokens += same
    for (let i = 0; i < same; i++) {
      logprobs = Math.max(logprobs, Math.abs(steps[i]!.logprob - others[i]!.logprob))
    }
    if (at === -1) continue
    different++
    leads.push(steps[at]!.lead)
  }
  const lead = leads.length === 0 ? '' : Math.max(...leads).toExponential(1)
  return [`${different} of ${a.size}`, tokens, logprobs.toExponential(1), lead].join('\t')
}

const formats: readonly FormatWish[] = (['none', 'int8', 'int4'] as const).map((quantization) => ({
  dtype: 'float32',
  quantization,
}))
const splits = [
  [1, 1],
  [2, 1],
  [1, 2],
  [2, 2],
] as const

const folder = makeTempFolder()
try {
  const columns = [
    'weights',
    'T',
    'P',
    'texts that differ',
    'equal tokens',
    'log-probability',
    'lead',
  ]
  console.log(columns.join('\t'))
  for (const format of formats) {
    for (const [tensorParallelSize, pipelineParallelSize] of splits) {
      const parallel = { tensorParallelSize, pipelineParallelSize }
      const name = `${format.quantization}-${tensorParallelSize}-${pipelineParallelSize}`
      await convertModel(bundledModelFolder, join(folder, name), { format, parallel })
      const decoder = openDecoder(join(folder, name), {
        slots: 16,
        capacity: 256,
        intraOpNumThreads: 1,
      })
      const result = compare(alone(decoder), together(decoder))
      decoder.close()
      const weights = format.quantization === 'none' ? 'float32' : format.quantization
      console.log([weights, tensorParallelSize, pipelineParallelSize, result].join('\t'))
    }
  }
} finally {
  removeFolder(folder)
}
