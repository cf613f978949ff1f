/**
 * A real checkpoint, greedily, in Burrow and in llama.cpp (node-llama-cpp): SmolLM2-135M-Instruct, 5 prompts of
 * 50 tokens. First with its exact weights as float32 on both sides, where a difference is allowed only at a near tie;
 * then the file as it is, where llama.cpp computes with activations of 8 bits and Burrow in float32.
 *
 *   node test/bench/engine/real-checkpoint.ts
 */
import { convertModel } from '../../../backend/conversion/convert.ts'
import { OnnxEngine } from '../../../backend/engine/engine.ts'
import { loadTextFormat, type TextFormat } from '../../../backend/tokenizer/load-tokenizer.ts'
import type { Tokenizer } from '../../../backend/tokenizer/tokenizer.ts'
import { generationRequest } from '../../support/generation-request.ts'
import { writeFloat32Gguf } from './models/float32-gguf.ts'
import { smolLm2 } from './models/smollm2.ts'
import {
  importPeer,
  installPeer,
  startPeer,
  type Peer,
  type PeerSequence,
} from './peer/node-llama-cpp.ts'
import { scratchPath } from './scratch.ts'

const numTokens = 50
/** Logits this near to each other may be ordered by the last bits of a float32 sum. */
const nearTie = 2e-4

const chats = [
  'Explain in a few sentences why the sky is blue.',
  'Write a short story about a lighthouse keeper and a whale.',
  'List seven things that one can do on a rainy day.',
]
const beginnings = [
  'The history of the printing press begins in',
  'def fibonacci(n):\n    """Return the n-th Fibonacci number."""\n',
]

const promptTexts = ({ chatTemplate }: TextFormat): string[] => [
  ...chats.map((content) =>
    chatTemplate === null
      ? content
      : chatTemplate.render([{ role: 'user', content }], { addGenerationPrompt: true }),
  ),
  ...beginnings,
]

type Answer = {
  readonly text: string
  readonly tokens: readonly number[]
  /** By token, how far the likeliest was above the second. */
  readonly gaps: readonly number[]
}

/** Greedy answers of the whole engine: thread, scheduler, sampler, detokenizer. */
const burrowAnswers = async (
  model: string,
  tokenizer: Tokenizer,
  graphFolder: string,
  prompts: readonly (readonly number[])[],
): Promise<Answer[]> => {
  const { vocabSize } = await convertModel(model, graphFolder)
  const engine = await OnnxEngine.start({
    modelFolder: model,
    graphFolder,
    tokenizer,
    numSlots: 1,
    maxNumSeqs: 1,
    maxNumRequests: 1,
    maxNumBatchedTokens: 256,
    vocabSize,
    maxModelLen: 512,
    endOfSequenceTokens: [],
    intraOpNumThreads: 2,
  })
  const answers: Answer[] = []
  for (const [index, promptTokens] of prompts.entries()) {
    const request = { id: String(index), promptTokens, maxTokens: numTokens, logprobs: 2 }
    const [tokens, gaps]: [number[], number[]] = [[], []]
    let text = ''
    for await (const event of engine.add(generationRequest(request))) {
      text += event.text
      const [first, second] = event.logprob?.top ?? []
      if (event.logprob === undefined || !first || !second) continue
      tokens.push(event.logprob.token)
      gaps.push(first.logprob - second.logprob)
    }
    answers.push({ text, tokens, gaps })
  }
  await engine.close()
  return answers
}

const likeliestTwo = {
  generateNext: {
    token: true,
    logits: { filter: { includeTop: 2 } },
    options: { temperature: 0 },
  },
} as const

const peerAnswer = async (sequence: PeerSequence, prompt: readonly number[]) => {
  const [tokens, gaps]: [number[], number[]] = [[], []]
  let given = prompt
  while (tokens.length < numTokens) {
    const last = given.at(-1) ?? 0
    const results = await sequence.controlledEvaluate([...given.slice(0, -1), [last, likeliestTwo]])
    const next = results.at(-1)?.next
    if (next === undefined) throw new Error('node-llama-cpp gave no token')
    const [first = 0, second = 0] = [...next.logits.values()].toSorted((a, b) => b - a)
    gaps.push(first - second)
    tokens.push(next.token)
    given = [next.token]
  }
  return { tokens, gaps }
}

const peerAnswers = async (
  peer: Peer,
  modelPath: string,
  texts: readonly string[],
  prompts: readonly (readonly number[])[],
): Promise<Answer[]> => {
  const model = await peer.loadModel({ modelPath, useMmap: true })
  for (const [index, text] of texts.entries()) {
    if (String(model.tokenize(text, true)) !== String(prompts[index])) {
      throw new Error(`the two tokenizers differ on ${JSON.stringify(text)}`)
    }
  }
  // As near to float32 all through as its API allows.
  const context = await model.createContext({
    sequences: 1,
    contextSize: 512,
    batchSize: 512,
    flashAttention: false,
    threads: { ideal: 2, min: 2 },
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
  })
  const sequence = context.getSequence()
  const answers: Answer[] = []
  for (const prompt of prompts) {
    await sequence.clearHistory()
    const answer = await peerAnswer(sequence, prompt)
    answers.push({ ...answer, text: model.detokenize(answer.tokens) })
  }
  await context.dispose()
  await model.dispose()
  return answers
}

/** Prints a line a prompt. @returns whether every difference is at a near tie */
const compare = async (peer: Peer, name: string, path: string): Promise<boolean> => {
  const format = await loadTextFormat(path)
  const texts = promptTexts(format)
  const prompts = texts.map((text) => format.tokenizer.encode(text, false))
  const ours = await burrowAnswers(path, format.tokenizer, scratchPath('converted', name), prompts)
  const theirs = await peerAnswers(peer, path, texts, prompts)
  console.log(
    `\n| ${name}: prompt | equal tokens | our gap at the first other | text | smallest gap | gaps differ by at most |\n` +
      '|---|---|---|---|---|---|',
  )
  let isEqual = true
  for (const [index, { tokens, text, gaps }] of ours.entries()) {
    const their = theirs[index]
    if (tokens.length !== numTokens || !their) throw new Error('a token is missing')
    const first = tokens.findIndex((token, i) => token !== their.tokens[i])
    const numEqual = first === -1 ? numTokens : first
    const isNearTie = first !== -1 && (gaps[first] ?? Infinity) <= nearTie
    if (!isNearTie && text !== their.text) isEqual = false
    // After another token the two compute another text.
    const compared = gaps.slice(0, numEqual + 1)
    const differences = compared.map((gap, i) => Math.abs(gap - (their.gaps[i] ?? Infinity)))
    const columns = [
      index + 1,
      `${numEqual} of ${numTokens}`,
      first === -1 ? '' : (gaps[first] ?? 0).toFixed(4),
      text === their.text ? 'equal' : 'differs',
      Math.min(...compared).toFixed(4),
      Math.max(...differences).toExponential(1),
    ]
    console.log(`| ${columns.join(' | ')} |`)
  }
  return isEqual
}

installPeer()
const original = smolLm2()
const exact = scratchPath('smollm2', 'SmolLM2-135M-Instruct.F32.gguf')
await writeFloat32Gguf(original, exact)
const peer = await startPeer(await importPeer())
const isEqual = await compare(peer, 'smollm2-float32', exact)
await compare(peer, 'smollm2-q4_1', original)
await peer.dispose()
console.log(`\nfloat32 weights: ${isEqual ? 'equal' : 'NOT equal'} up to near ties of ${nearTie}`)
process.exitCode = isEqual ? 0 : 1
