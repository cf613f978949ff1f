/** The model that a backend serves: everything a route needs to turn a request into a generation. */
import { InvalidRequest, ModelNotFound } from '../shared/errors.ts'
import type { ChatMessage } from '../shared/openai/chat.ts'
import { checkMinTokens, type SamplingFields } from '../shared/openai/sampling.ts'
import type { GenerationRequest } from './engine/generation.ts'
import { checkPromptFits, newTokenLimit } from './engine/model-limits.ts'
import { choiceSeed } from './engine/random.ts'
import type { ChatTemplate } from './tokenizer/chat-template.ts'
import type { PromptEncoder } from './tokenizer/prompt-encoder.ts'
import type { Tokenizer } from './tokenizer/tokenizer.ts'

/** What the model's generation_config.json recommends where a request says nothing. */
export type SamplingDefaults = {
  readonly temperature: number
  readonly topP: number
  readonly topK: number
  readonly minP: number
  readonly repetitionPenalty: number
}

export type LoadedModel = {
  /** The served model name. */
  readonly name: string
  /** Unix time in seconds. */
  readonly created: number
  /** Tokens that prompt and answer may have together. */
  readonly maxModelLen: number
  readonly vocabSize: number
  readonly endOfSequenceTokens: readonly number[]
  readonly tokenizer: Tokenizer
  /** For prompts, which may be long. */
  readonly promptEncoder: Pick<PromptEncoder, 'encode'>
  /** null: a base model, which has no chat format. */
  readonly chatTemplate: ChatTemplate | null
  readonly samplingDefaults: SamplingDefaults
}

/** What the model is to go on from. */
export type Prompt = {
  readonly tokens: readonly number[]
  /** The prompt's text where each answer is to begin with it; null: it is not. */
  readonly echo: string | null
}

/** @throws ModelNotFound unless the request names this model */
export const requireModel = (model: LoadedModel, name: string): void => {
  if (name !== model.name) throw new ModelNotFound(name)
}

/**
 * The rendered and tokenised chat.
 * @param signal of a client who may leave
 * @throws InvalidRequest for a model without a chat template, or a chat that cannot fit its context
 */
export const chatPrompt = async (
  model: LoadedModel,
  messages: readonly ChatMessage[],
  signal: AbortSignal,
): Promise<number[]> => {
  if (model.chatTemplate === null) {
    throw new InvalidRequest(
      'This model has no chat template: use /v1/completions with a prompt in its own format.',
    )
  }
  // Rendering megabytes would hold the HTTP thread for long, only to refuse them.
  checkPromptFits(messages.length, model.maxModelLen, 'messages')
  const text = model.chatTemplate.render(messages, { addGenerationPrompt: true })
  return tokenised(model, text, false, 'messages', signal)
}

/**
 * Text is tokenised with the model's special tokens; ids are taken as they are.
 * @param signal of a client who may leave
 * @throws InvalidRequest for what the model cannot read or hold
 */
export const completionPrompt = async (
  model: LoadedModel,
  prompt: string | readonly number[],
  signal: AbortSignal,
): Promise<readonly number[]> => {
  if (typeof prompt === 'string') return tokenised(model, prompt, true, 'prompt', signal)
  checkTokens(model, prompt, 'prompt')
  return prompt
}

const tokenised = async (
  model: LoadedModel,
  text: string,
  addSpecialTokens: boolean,
  param: 'messages' | 'prompt',
  signal: AbortSignal,
): Promise<number[]> => {
  checkPromptFits(model.tokenizer.minTokens(text), model.maxModelLen, param)
  const tokens = await model.promptEncoder.encode(text, addSpecialTokens, signal)
  checkTokens(model, tokens, param)
  return tokens
}

/** Text may have foreign ids too: some tokenizers know tokens that their model has no row for. */
const checkTokens = (
  model: LoadedModel,
  tokens: readonly number[],
  param: 'messages' | 'prompt' | 'stop_token_ids' | 'logit_bias',
): void => {
  const foreign = tokens.find((token) => token < 0 || token >= model.vocabSize)
  if (foreign === undefined) return
  throw new InvalidRequest(
    `'${param}' has the token id ${foreign}; this model's ids go from 0 to ${model.vocabSize - 1}.`,
    param,
  )
}

/**
 * Before `minTokens` no token may be drawn that would end the answer. vLLM does not look whether any is
 * left, and draws from nothing then.
 */
const checkSomeTokenIsLeft = (
  { vocabSize, endOfSequenceTokens }: LoadedModel,
  minTokens: number,
  stopTokenIds: readonly number[],
): void => {
  if (minTokens === 0) return
  const ends = new Set([...endOfSequenceTokens, ...stopTokenIds].filter((id) => id < vocabSize))
  if (ends.size < vocabSize) return
  throw new InvalidRequest(
    "'stop_token_ids' has every token of this model, and 'min_tokens' lets none of them come: leave out one of the two.",
    'stop_token_ids',
    'invalid_value',
  )
}

/** For whom a generation is: not the client's to say, but the gateway's. */
export type Tenancy = { readonly cacheSalt: string }

/** What both routes read of a request beside its prompt. */
export type GenerationFields = SamplingFields & {
  readonly maxTokens: number | undefined
  readonly logprobs: number | undefined
}

/**
 * One request to the engine for each choice, alike but for id and seed; of the prompt's log-probabilities,
 * the first tells those of all.
 * @param param the request field that holds the prompt, for errors
 * @throws InvalidRequest for what the model has no room or no token for
 */
export const generationRequests = (
  model: LoadedModel,
  id: string,
  { tokens: promptTokens, echo }: Prompt,
  request: GenerationFields,
  param: 'messages' | 'prompt',
  { cacheSalt }: Tenancy,
): readonly [GenerationRequest, ...GenerationRequest[]] => {
  const { logitBias, minTokens, stopTokenIds } = request
  checkTokens(model, stopTokenIds, 'stop_token_ids')
  const biasedTokens = logitBias.map(([token]) => token)
  checkTokens(model, biasedTokens, 'logit_bias')
  const maxTokens = newTokenLimit(promptTokens.length, request.maxTokens, model.maxModelLen, param)
  checkMinTokens(minTokens, maxTokens)
  checkSomeTokenIsLeft(model, minTokens, stopTokenIds)
  const promptLogprobs = promptLogprobsOf(request, echo !== null)
  checkPromptLogprobs(request.n, promptTokens.length, promptLogprobs)
  const { samplingDefaults } = model
  const seed = request.seed ?? randomSeed()
  const common = {
    promptTokens,
    maxTokens,
    minTokens,
    stop: request.stop,
    stopTokenIds,
    includeStop: request.includeStop,
    ignoreEos: request.ignoreEos,
    logprobs: request.logprobs ?? null,
    priority: request.priority,
    cacheSalt,
  }
  const sampling = {
    temperature: request.temperature ?? samplingDefaults.temperature,
    topP: request.topP ?? samplingDefaults.topP,
    topK: Math.max(0, request.topK ?? samplingDefaults.topK),
    minP: request.minP ?? samplingDefaults.minP,
    repetitionPenalty: request.repetitionPenalty ?? samplingDefaults.repetitionPenalty,
    frequencyPenalty: request.frequencyPenalty,
    presencePenalty: request.presencePenalty,
    logitBias,
  }
  const choice = (index: number): GenerationRequest => ({
    ...common,
    id: index === 0 ? id : `${id}-${index}`,
    promptLogprobs: index === 0 ? promptLogprobs : null,
    sampling: { ...sampling, seed: choiceSeed(seed, index) },
  })
  const others = Array.from({ length: request.n - 1 }, (_, index) => choice(index + 1))
  return [choice(0), ...others]
}

/** An echo has log-probabilities where the answer has. */
const promptLogprobsOf = (
  { promptLogprobs, logprobs }: GenerationFields,
  hasEcho: boolean,
): number | null => {
  const echoed = hasEcho ? logprobs : undefined
  if (promptLogprobs === undefined) return echoed ?? null
  return Math.max(promptLogprobs, echoed ?? 0)
}

/** Each of them is some 90 bytes of JSON, which the HTTP thread writes in one go. */
const maxPromptLogprobs = 200_000

/** Every choice tells those of the prompt. */
const checkPromptLogprobs = (n: number, promptTokens: number, numTop: number | null): void => {
  if (numTop === null) return
  const count = n * promptTokens * (numTop + 1)
  if (count <= maxPromptLogprobs) return
  throw new InvalidRequest(
    `The answer would have ${count} log-probabilities of the prompt (n ${n}, ${promptTokens} tokens, ` +
      `${numTop + 1} for each), and may have ${maxPromptLogprobs}: ask for fewer, or send a shorter prompt.`,
    'prompt_logprobs',
    'invalid_value',
  )
}

const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!
