/** `echo` and `prompt_logprobs` of the bundled model, as the official client reads them. */
import { APIError, OpenAI } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBackendApp } from '../../../backend/app.ts'
import { bundledModelFolder } from '../../../backend/config.ts'
import { OnnxEngine } from '../../../backend/engine/engine.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { Decoder } from '../../../backend/graph/decoder.ts'
import { silentLog } from '../../support/silent-log.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'
import { softmax } from '../engine/reference-sampler.ts'
import { testModel } from './test-app.ts'

const { tokenizer, vocabSize } = testModel
const model = { ...testModel, maxModelLen: 128 }
const folder = makeTempFolder()
let engine: OnnxEngine
let client: OpenAI
/** Of each token after `prompt`'s tokens: the logarithms of its probabilities, computed by hand. */
let expected: number[][]

const prompt = '\n\n### Instruction:\n3+5=?\n\n### Response:\n'
const tokens = tokenizer.encode(prompt, true)

beforeAll(async () => {
  await convertModel(bundledModelFolder, folder)
  const sizes = { slots: 1, capacity: 128, intraOpNumThreads: 1 }
  const decoder = new Decoder(folder, sizes)
  const logits = decoder.prefill(0, 0, tokens, tokens.length)
  expected = tokens.map((_, row) =>
    softmax([...logits.subarray(row * vocabSize, (row + 1) * vocabSize)]).map(Math.log),
  )
  decoder.close()
  engine = await OnnxEngine.start({
    modelFolder: bundledModelFolder,
    graphFolder: folder,
    tokenizer,
    numSlots: 4,
    maxNumSeqs: 4,
    maxNumRequests: 32,
    // The prompt takes several steps.
    maxNumBatchedTokens: 9,
    vocabSize,
    maxModelLen: 128,
    endOfSequenceTokens: [1],
    intraOpNumThreads: 1,
  })
  const app = createBackendApp({ engine, model, log: silentLog })
  client = new OpenAI({
    apiKey: 'none',
    baseURL: 'http://backend/v1',
    maxRetries: 0,
    fetch: async (url, init) => app.fetch(new Request(url, init)),
  })
})
afterAll(async () => {
  await engine.close()
  removeFolder(folder)
})

const ask = { model: 'tiger', prompt, temperature: 0 }

/** The log-probabilities of the tokens from the second on, next to what they should be. */
const differences = (logprobs: readonly (number | null)[] = []): number[] =>
  tokens.slice(1).map((token, at) => {
    const value = logprobs[at + 1] ?? Number.NaN
    return Math.abs(value - (expected[at]?.[token] ?? Number.NaN))
  })

const areRight = (logprobs?: readonly (number | null)[]): boolean =>
  logprobs?.[0] === null && differences(logprobs).every((difference) => difference < 1e-3)

describe('echo', () => {
  test('repeats the prompt before the answer', async () => {
    const { choices, usage } = await client.completions.create({ ...ask, echo: true })
    expect(choices[0]).toMatchObject({ text: `${prompt}3+5=8`, logprobs: null })
    expect(usage).toMatchObject({ prompt_tokens: tokens.length, completion_tokens: 6 })
    const byIds = await client.completions.create({ ...ask, prompt: tokens, echo: true })
    expect(byIds.choices[0]?.text).toBe(`${prompt}3+5=8`)
  })

  test('with logprobs and max_tokens 0 scores the prompt, and counts no token of an answer', async () => {
    const scoring = { ...ask, echo: true, max_tokens: 0, logprobs: 2 }
    const { choices, usage } = await client.completions.create(scoring)
    expect(usage).toEqual({
      prompt_tokens: tokens.length,
      completion_tokens: 0,
      total_tokens: tokens.length,
    })
    const { text, finish_reason, logprobs } = choices[0] ?? {}
    expect({ text, finish_reason }).toEqual({ text: prompt, finish_reason: 'length' })
    expect(areRight(logprobs?.token_logprobs)).toBe(true)
    expect(logprobs?.token_logprobs?.length).toBe(tokens.length)
    expect(logprobs?.top_logprobs?.[0]).toBeNull()
    const sizes = logprobs?.top_logprobs?.slice(1).map((top) => Object.keys(top).length) ?? []
    expect(sizes.every((size) => size === 2 || size === 3)).toBe(true)
    const offsets = logprobs?.text_offset ?? []
    const parts = offsets.map((offset, at) => prompt.slice(offset, offsets[at + 1]))
    expect(parts.join('')).toBe(prompt)
  })

  test('with logprobs: one list of prompt and answer, whose offsets go on', async () => {
    const { choices } = await client.completions.create({ ...ask, echo: true, logprobs: 0 })
    const { token_logprobs = [], tokens: names = [], text_offset = [] } = choices[0]?.logprobs ?? {}
    expect(areRight(token_logprobs)).toBe(true)
    expect(names.slice(tokens.length)).toEqual(['3', '+', '5', '=', '8', '</s>'])
    const answered = text_offset.slice(tokens.length).map((offset) => offset - prompt.length)
    expect(answered).toEqual([0, 1, 2, 3, 4, 5])
    expect([token_logprobs.length, text_offset.length]).toEqual([names.length, names.length])
  })

  test('streamed: the prompt comes first, for each choice', async () => {
    const asked = { ...ask, echo: true, logprobs: 1, n: 2 }
    const whole = await client.completions.create(asked)
    const stream = await client.completions.create({ ...asked, stream: true })
    const texts = ['', '']
    const logprobs: (number | null)[][] = [[], []]
    const first: string[] = []
    for await (const { choices } of stream) {
      for (const choice of choices) {
        if (texts[choice.index] === '') first.push(choice.text)
        texts[choice.index] += choice.text
        logprobs[choice.index]?.push(...(choice.logprobs?.token_logprobs ?? []))
      }
    }
    expect(first).toEqual([prompt, prompt])
    expect(texts).toEqual(whole.choices.map(({ text }) => text))
    expect(logprobs).toEqual(whole.choices.map((choice) => choice.logprobs?.token_logprobs))
    expect(areRight(logprobs[1])).toBe(true)
  })

  test('streamed with max_tokens 0: the prompt alone', async () => {
    const asked = { ...ask, echo: true, max_tokens: 0, stream_options: { include_usage: true } }
    const chunks = []
    for await (const chunk of await client.completions.create({ ...asked, stream: true })) {
      chunks.push([chunk.choices[0]?.text, chunk.choices[0]?.finish_reason, chunk.usage])
    }
    const total = tokens.length
    expect(chunks).toEqual([
      [prompt, null, null],
      ['', 'length', null],
      [undefined, undefined, expect.objectContaining({ total_tokens: total })],
    ])
  })

  test('scores a prompt that fills the context', async () => {
    const full = Array.from({ length: 128 }, (_, i) => 2 + (i % 600))
    const scoring = { ...ask, prompt: full, echo: true, max_tokens: 0, logprobs: 0 }
    const { choices } = await client.completions.create(scoring)
    expect(choices[0]?.logprobs?.tokens?.length).toBe(128)
    const more = client.completions.create({ ...scoring, prompt: [...full, 2] })
    await expect(more).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' })
  })
})

describe('prompt_logprobs', () => {
  type Entry = Record<string, { logprob: number; rank: number; decoded_token: string }>

  /** What the client's types do not know of. */
  const promptLogprobsIn = (body: object): readonly (Entry | null)[] =>
    'prompt_logprobs' in body && Array.isArray(body.prompt_logprobs) ? body.prompt_logprobs : []

  const check = (entries: readonly (Entry | null)[], ids: readonly number[]) => {
    expect(entries.length).toBe(ids.length)
    expect(entries[0]).toBeNull()
    for (const [at, token] of ids.entries()) {
      if (at === 0) continue
      const entry = entries[at] ?? {}
      const { logprob, rank, decoded_token } = entry[token] ?? {}
      const ranks = Object.values(entry).map((one) => one.rank)
      const likeliest = rank === 1 || rank === 2 || rank === 3 ? [1, 2, 3] : [1, 2, 3, rank]
      expect(ranks.toSorted((a, b) => a - b)).toEqual(likeliest)
      expect([typeof logprob, typeof decoded_token]).toEqual(['number', 'string'])
    }
  }

  test('of a text completion stand in each choice', async () => {
    const asked = { ...ask, n: 2, prompt_logprobs: 3, max_tokens: 4 }
    const { choices, usage } = await client.completions.create(asked)
    expect(usage).toMatchObject({ prompt_tokens: tokens.length, completion_tokens: 8 })
    for (const choice of choices) {
      const entries = promptLogprobsIn(choice)
      check(entries, tokens)
      const own = entries.map((entry, at) => entry?.[tokens[at] ?? 0]?.logprob ?? null)
      expect(areRight(own)).toBe(true)
      expect([choice.text, choice.logprobs]).toEqual(['3+5=', null])
    }
  })

  test('of a chat stand beside the choices, also when the prompt was computed before', async () => {
    const asked = { model: 'tiger', messages: [{ role: 'user', content: '3+5=?' }] as const }
    const plain = await client.chat.completions.create({ ...asked, messages: [...asked.messages] })
    const body = { ...asked, messages: [...asked.messages], prompt_logprobs: 3 }
    const chat = await client.chat.completions.create(body)
    const ids = tokenizer.encode(prompt, false)
    check(promptLogprobsIn(chat), ids)
    expect(chat.choices[0]?.message).toEqual(plain.choices[0]?.message)
    expect('prompt_logprobs' in plain).toBe(false)
  })

  test('beside an echo have their own number', async () => {
    const asked = { ...ask, echo: true, logprobs: 1, max_tokens: 1, prompt_logprobs: 3 }
    const { choices } = await client.completions.create(asked)
    const [choice] = choices
    check(promptLogprobsIn(choice ?? {}), tokens)
    const echoed = choice?.logprobs?.top_logprobs?.slice(1) ?? []
    expect(echoed.every((top) => Object.keys(top).length <= 2)).toBe(true)
    expect(echoed.length).toBe(tokens.length)
  })

  test('of a prompt of one token are null alone', async () => {
    const asked = { ...ask, prompt: [5], prompt_logprobs: 1, max_tokens: 1 }
    const { choices } = await client.completions.create(asked)
    expect(promptLogprobsIn(choices[0] ?? {})).toEqual([null])
  })

  test('are refused in a stream, with what to do', async () => {
    const body = { ...ask, prompt_logprobs: 1, stream: true as const }
    const error: unknown = await client.completions.create(body).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(APIError)
    expect(error).toMatchObject({ status: 400, param: 'prompt_logprobs' })
    expect(`${error}`).toContain("without 'stream'")
  })
})
