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

/** What the client asked for; a field left out takes the model's own default. */
export type SamplingFields = {
  readonly model: string
  readonly temperature: number | undefined
  readonly topP: number | undefined
  /** 0 or less: off (vLLM's extension). */
  readonly topK: number | undefined
  readonly seed: number | undefined
  readonly stop: readonly string[]
  /** Keep going past the end-of-sequence token (vLLM's extension). */
  readonly ignoreEos: boolean
  /** Lower is served earlier; 0 unless given (vLLM's extension). */
  readonly priority: number
  readonly stream: boolean
  readonly includeUsage: boolean
}

const maxStopStrings = 16

/** Fields that would change the answer and are not served yet, with the values that change nothing. */
const neutralValues: Readonly<Record<string, readonly unknown[]>> = {
  n: [1],
  best_of: [1],
  echo: [false],
  suffix: [''],
  logprobs: [false],
  top_logprobs: [0],
  logit_bias: [],
  frequency_penalty: [0],
  presence_penalty: [0],
  repetition_penalty: [1],
  min_p: [0],
  tools: [],
  functions: [],
  tool_choice: ['none'],
  function_call: ['none'],
  audio: [],
  prediction: [],
  web_search_options: [],
  // Extensions of vLLM.
  min_tokens: [0],
  stop_token_ids: [],
  bad_words: [],
  allowed_token_ids: [],
  include_stop_str_in_output: [false],
  skip_special_tokens: [true],
  prompt_logprobs: [],
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
  return {
    model: requiredString(body, 'model'),
    temperature: optionalNumber(body, 'temperature', { min: 0, max: 2 }),
    topP: optionalNumber(body, 'top_p', { min: 0, max: 1 }),
    topK: optionalNumber(body, 'top_k', { min: -1, max: 2 ** 31, whole: true }),
    seed: optionalNumber(body, 'seed', {
      min: Number.MIN_SAFE_INTEGER,
      max: Number.MAX_SAFE_INTEGER,
      whole: true,
    }),
    stop: optionalStrings(body, 'stop', maxStopStrings) ?? [],
    ignoreEos: optionalBoolean(body, 'ignore_eos') ?? false,
    // Clients may give way to others; to go before them is not theirs to say.
    priority: optionalNumber(body, 'priority', { min: 0, max: 2 ** 31, whole: true }) ?? 0,
    stream,
    includeUsage: includeUsage(body, stream),
  }
}

/** `max_tokens` and its like: at least one token. */
export const tokenLimit = (body: Fields, name: string): number | undefined =>
  optionalNumber(body, name, { min: 1, max: 2 ** 31, whole: true })

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
    throw new InvalidRequest(
      `'${name}' is not supported yet: leave it out.`,
      name,
      'unsupported_parameter',
    )
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

const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0
