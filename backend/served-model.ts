/** The model that a backend serves: everything a route needs to turn a request into a generation. */
import { InvalidRequest, ModelNotFound } from '../shared/errors.ts'
import type { ChatMessage } from '../shared/openai/chat.ts'
import type { SamplingFields } from '../shared/openai/sampling.ts'
import type { GenerationRequest } from './engine/generation.ts'
import { checkPromptFits, newTokenLimit } from './engine/model-limits.ts'
import type { ChatTemplate } from './tokenizer/chat-template.ts'
import type { Tokenizer } from './tokenizer/tokenizer.ts'

/** What the model's generation_config.json recommends where a request says nothing. */
export type SamplingDefaults = {
  readonly temperature: number
  readonly topP: number
  readonly topK: number
}

export type LoadedModel = {
  /** The served model name. */
  readonly name: string
  /** Unix time in seconds. */
  readonly created: number
  /** Tokens that prompt and answer may have together. */
  readonly maxModelLen: number
  readonly vocabSize: number
  readonly tokenizer: Tokenizer
  /** null: a base model, which has no chat format. */
  readonly chatTemplate: ChatTemplate | null
  readonly samplingDefaults: SamplingDefaults
}

/** @throws ModelNotFound unless the request names this model */
export const requireModel = (model: LoadedModel, name: string): void => {
  if (name !== model.name) throw new ModelNotFound(name)
}

/**
 * The rendered and tokenised chat.
 * @throws InvalidRequest for a model without a chat template, or a chat that cannot fit its context
 */
export const chatPrompt = (model: LoadedModel, messages: readonly ChatMessage[]): number[] => {
  if (model.chatTemplate === null) {
    throw new InvalidRequest(
      'This model has no chat template: use /v1/completions with a prompt in its own format.',
    )
  }
  // Rendering and tokenising megabytes would hold the HTTP thread for seconds, only to refuse them.
  checkPromptFits(messages.length, model.maxModelLen, 'messages')
  const text = model.chatTemplate.render(messages, { addGenerationPrompt: true })
  return tokenised(model, text, false, 'messages')
}

/**
 * Text is tokenised with the model's special tokens; ids are taken as they are.
 * @throws InvalidRequest for what the model cannot read or hold
 */
export const completionPrompt = (
  model: LoadedModel,
  prompt: string | readonly number[],
): readonly number[] => {
  if (typeof prompt === 'string') return tokenised(model, prompt, true, 'prompt')
  checkTokens(model, prompt, 'prompt')
  return prompt
}

const tokenised = (
  model: LoadedModel,
  text: string,
  addSpecialTokens: boolean,
  param: 'messages' | 'prompt',
): number[] => {
  checkPromptFits(model.tokenizer.minTokens(text), model.maxModelLen, param)
  const tokens = model.tokenizer.encode(text, addSpecialTokens)
  checkTokens(model, tokens, param)
  return tokens
}

/** Text may have foreign ids too: some tokenizers know tokens that their model has no row for. */
const checkTokens = (
  model: LoadedModel,
  tokens: readonly number[],
  param: 'messages' | 'prompt',
): void => {
  const foreign = tokens.find((token) => token < 0 || token >= model.vocabSize)
  if (foreign === undefined) return
  throw new InvalidRequest(
    `'${param}' has the token id ${foreign}; this model's ids go from 0 to ${model.vocabSize - 1}.`,
    param,
  )
}

/** For whom a generation is: not the client's to say, but the gateway's. */
export type Tenancy = { readonly cacheSalt: string }

/** @param param the request field that holds the prompt, for errors */
export const generationRequest = (
  model: LoadedModel,
  id: string,
  promptTokens: readonly number[],
  request: SamplingFields & { readonly maxTokens: number | undefined },
  param: 'messages' | 'prompt',
  { cacheSalt }: Tenancy,
): GenerationRequest => ({
  id,
  promptTokens,
  maxTokens: newTokenLimit(promptTokens.length, request.maxTokens, model.maxModelLen, param),
  stop: request.stop,
  ignoreEos: request.ignoreEos,
  priority: request.priority,
  cacheSalt,
  sampling: {
    temperature: request.temperature ?? model.samplingDefaults.temperature,
    topP: request.topP ?? model.samplingDefaults.topP,
    topK: Math.max(0, request.topK ?? model.samplingDefaults.topK),
    seed: request.seed ?? randomSeed(),
  },
})

const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!
