/** `POST /v1/completions`. */
import type { Handler } from 'hono'
import type { AnswerIdentity } from '../../shared/openai/answer.ts'
import {
  completionBody,
  completionChunk,
  completionUsageChunk,
  parseCompletionRequest,
  type CompletionRequest,
} from '../../shared/openai/completion.ts'
import type { BackendDeps, BackendEnv } from '../app.ts'
import { echoedTokens, promptLogprobsBody } from '../../shared/openai/prompt-logprobs.ts'
import { completionPrompt, type LoadedModel, type Prompt } from '../served-model.ts'
import type { AnswerFormat } from './answer.ts'
import type { AnsweredPrompt } from './answered-prompt.ts'
import { generationHandler } from './generation.ts'

export const completions = (deps: BackendDeps): Handler<BackendEnv> =>
  generationHandler(deps, {
    parse: parseCompletionRequest,
    prompt: promptOf,
    promptField: 'prompt',
    idPrefix: 'cmpl',
    format: completionFormat,
  })

const promptOf = async (
  model: LoadedModel,
  { prompt, echo }: CompletionRequest,
  signal: AbortSignal,
): Promise<Prompt> => {
  const tokens = await completionPrompt(model, prompt, signal)
  const text = () => (typeof prompt === 'string' ? prompt : model.tokenizer.decode(tokens))
  return { tokens, echo: echo ? text() : null }
}

const completionFormat = (identity: AnswerIdentity, request: CompletionRequest): AnswerFormat => {
  const { includeUsage, echo } = request
  return {
    whole: (choices, usage, prompt) => {
      const echoed = echoOf(prompt, request)
      const promptLogprobs = promptLogprobsOf(prompt, request)
      const withPrompt = choices.map(({ text, finishReason, logprobs }) => ({
        text: echoed.text + text,
        finishReason,
        // Where nothing is sampled there are only those of the prompt.
        logprobs: echoed.logprobs ? [...echoed.logprobs, ...(logprobs ?? [])] : logprobs,
        promptLogprobs,
      }))
      return completionBody(identity, withPrompt, usage)
    },
    opening: echo
      ? (index, prompt) =>
          completionChunk(
            identity,
            { ...echoOf(prompt, request), index, finishReason: null },
            includeUsage,
          )
      : null,
    delta: (index, delta) =>
      completionChunk(identity, { ...delta, index, finishReason: null }, includeUsage),
    closing: (index, finishReason) =>
      completionChunk(identity, { index, text: '', logprobs: null, finishReason }, includeUsage),
    usage: includeUsage ? (usage) => completionUsageChunk(identity, usage) : null,
  }
}

/** What each choice begins with: text and, where log-probabilities are told, the prompt's. */
const echoOf = ({ echo, tokens }: AnsweredPrompt, { logprobs }: CompletionRequest) => ({
  text: echo?.text ?? '',
  logprobs:
    echo && tokens && logprobs !== undefined
      ? echoedTokens(tokens, echo.textOffsets, logprobs)
      : null,
})

const promptLogprobsOf = ({ tokens }: AnsweredPrompt, { promptLogprobs }: CompletionRequest) =>
  tokens && promptLogprobs !== undefined ? promptLogprobsBody(tokens, promptLogprobs) : null
