/** The fields that completions and chat completions share: how to sample, when to stop, how to answer. */
import { InvalidRequest } from '../errors.ts'
import {
  fields,
  optionalBoolean,
  optionalNumber,
  optionalStrings,
  requiredString,
  type Fields,
} from '../parse.ts'
import { parsePromptLogprobs } from './prompt-logprobs.ts'

/** What the client asked for; a field left out takes the model's own default. */
export type SamplingFields = {
  readonly model: string
  readonly temperature: number | undefined
  readonly topP: number | undefined
  /** 0 or less: off (vLLM's extension). */
  readonly topK: number | undefined
  /** A probability's least share of the likeliest token's (vLLM's extension). */
  readonly minP: number | undefined
  readonly frequencyPenalty: number
  readonly presencePenalty: number
  /** 1: off (vLLM's extension, after Hugging Face). */
  readonly repetitionPenalty: number | undefined
  readonly logitBias: readonly (readonly [token: number, bias: number])[]
  readonly seed: number | undefined
  /** Answers to give; `seed` + i is the seed of the i-th. */
  readonly n: number
  /** So many of the likeliest tokens with each of the prompt's; undefined: none (vLLM's extension). */
  readonly promptLogprobs: number | undefined
  readonly stop: readonly string[]
  /** Tokens that end the answer (vLLM's extension). */
  readonly stopTokenIds: readonly number[]
  /** Whether the text keeps what ended it (vLLM's extension). */
  readonly includeStop: boolean
  /** No end before so many tokens (vLLM's extension). */
  readonly minTokens: number
  /** Keep going past the end-of-sequence token (vLLM's extension). */
  readonly ignoreEos: boolean
  /** Lower is served earlier; 0 unless given (vLLM's extension). */
  readonly priority: number
  readonly stream: boolean
  readonly includeUsage: boolean
}

const maxStopStrings = 16

/** Each is looked at for every token. */
const maxStopTokenIds = 1024

/** OpenAI's own maximum. */
const maxChoices = 128

/** Fields that would change the answer and are not served yet, with the values that change nothing. */
const neutralValues: Readonly<Record<string, readonly unknown[]>> = {
  suffix: [''],
  tools: [],
  functions: [],
  tool_choice: ['none'],
  function_call: ['none'],
  audio: [],
  prediction: [],
  web_search_options: [],
  // Extensions of vLLM.
  bad_words: [],
  allowed_token_ids: [],
  skip_special_tokens: [true],
  truncate_prompt_tokens: [],
  structured_outputs: [],
  use_beam_search: [false],
  guided_json: [],
  guided_regex: [],
  guided_choice: [],
  guided_grammar: [],
  chat_template: [],
  chat_template_kwargs: [],
  continue_final_message: [false],
  add_generation_prompt: [true],
}

/** @throws InvalidRequest naming the field */
export const parseSamplingFields = (body: Fields): SamplingFields => {
  refuseUnserved(body)
  const stream = optionalBoolean(body, 'stream') ?? false
  const n = parseNumChoices(body)
  return {
    model: requiredString(body, 'model'),
    temperature: optionalNumber(body, 'temperature', { min: 0, max: 2 }),
    topP: optionalNumber(body, 'top_p', { min: 0, max: 1 }),
    topK: optionalNumber(body, 'top_k', { min: -1, max: 2 ** 31, whole: true }),
    minP: optionalNumber(body, 'min_p', { min: 0, max: 1 }),
    frequencyPenalty: optionalNumber(body, 'frequency_penalty', { min: -2, max: 2 }) ?? 0,
    presencePenalty: optionalNumber(body, 'presence_penalty', { min: -2, max: 2 }) ?? 0,
    repetitionPenalty: optionalNumber(body, 'repetition_penalty', { min: 0.01, max: 100 }),
    logitBias: parseLogitBias(body),
    seed: optionalNumber(body, 'seed', {
      min: Number.MIN_SAFE_INTEGER,
      max: Number.MAX_SAFE_INTEGER,
      whole: true,
    }),
    n,
    promptLogprobs: parsePromptLogprobs(body, stream),
    stop: optionalStrings(body, 'stop', maxStopStrings) ?? [],
    stopTokenIds: parseStopTokenIds(body),
    includeStop: optionalBoolean(body, 'include_stop_str_in_output') ?? false,
    minTokens: optionalNumber(body, 'min_tokens', { min: 0, max: 2 ** 31, whole: true }) ?? 0,
    ignoreEos: optionalBoolean(body, 'ignore_eos') ?? false,
    // Clients may give way to others; to go before them is not theirs to say.
    priority: optionalNumber(body, 'priority', { min: 0, max: 2 ** 31, whole: true }) ?? 0,
    stream,
    includeUsage: includeUsage(body, stream),
  }
}

/** `max_tokens` and its like. @param min 0 where the prompt alone may be of interest */
export const tokenLimit = (body: Fields, name: string, min: 0 | 1 = 1): number | undefined =>
  optionalNumber(body, name, { min, max: 2 ** 31, whole: true })

/** @throws InvalidRequest when so few tokens cannot be */
export const checkMinTokens = (minTokens: number, maxTokens: number | undefined): void => {
  if (maxTokens === undefined || minTokens <= maxTokens) return
  throw new InvalidRequest(
    `'min_tokens' must not be larger than the ${maxTokens} tokens that the answer may have.`,
    'min_tokens',
    'invalid_value',
  )
}

/** `n`. `best_of` would sample more answers than it gives; only as many as `n` is served. */
const parseNumChoices = (body: Fields): number => {
  const range = { min: 1, max: maxChoices, whole: true }
  const n = optionalNumber(body, 'n', range) ?? 1
  if ((optionalNumber(body, 'best_of', range) ?? n) === n) return n
  throw new InvalidRequest(
    "'best_of' other than 'n' is not supported: leave it out.",
    'best_of',
    'unsupported_parameter',
  )
}

/** Token ids, in JSON as the names of fields → what is added to their logits. */
const parseLogitBias = (body: Fields): readonly (readonly [number, number])[] => {
  const given = body.logit_bias
  if (given === undefined || given === null) return []
  return Object.entries(fields(given, "'logit_bias'")).map(([name, bias]) => {
    const isBias = typeof bias === 'number' && bias >= -100 && bias <= 100
    if (/^\d{1,9}$/.test(name) && isBias) return [Number(name), bias]
    throw new InvalidRequest(
      "'logit_bias' must map token ids to numbers from -100 to 100.",
      'logit_bias',
      'invalid_value',
    )
  })
}

const parseStopTokenIds = (body: Fields): readonly number[] => {
  const given = body.stop_token_ids
  if (given === undefined || given === null) return []
  const list: readonly unknown[] = Array.isArray(given) ? given : []
  const ids = list.filter((id): id is number => Number.isSafeInteger(id))
  if (Array.isArray(given) && ids.length === list.length && ids.length <= maxStopTokenIds) {
    return ids
  }
  throw new InvalidRequest(
    `'stop_token_ids' must be a list of at most ${maxStopTokenIds} token ids.`,
    'stop_token_ids',
    'invalid_value',
  )
}

const includeUsage = (body: Fields, stream: boolean): boolean => {
  const options = body.stream_options
  if (options === undefined || options === null) return false
  if (!stream) throw new InvalidRequest("'stream_options' needs 'stream': true.", 'stream_options')
  return optionalBoolean(fields(options, "'stream_options'"), 'include_usage') ?? false
}

const refuseUnserved = (body: Fields): void => {
  for (const [name, neutral] of Object.entries(neutralValues)) {
    const value = body[name]
    if (value === undefined || value === null || neutral.includes(value) || isEmpty(value)) continue
    throw notSupported(name)
  }
  const format = body.response_format
  if (
    format !== undefined &&
    format !== null &&
    fields(format, "'response_format'").type !== 'text'
  ) {
    throw new InvalidRequest(
      "'response_format' other than text is not supported yet: leave it out.",
      'response_format',
      'unsupported_parameter',
    )
  }
}

export const notSupported = (name: string): InvalidRequest =>
  new InvalidRequest(`'${name}' is not supported yet: leave it out.`, name, 'unsupported_parameter')

const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0
