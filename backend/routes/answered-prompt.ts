/** What an answer has of its prompt, beside the usage: its text, its tokens' log-probabilities. */
import type { PromptToken } from '../../shared/openai/prompt-logprobs.ts'
import type { PromptLogprob } from '../engine/generation.ts'
import type { Prompt } from '../served-model.ts'
import type { TokenNames } from './choice-logprobs.ts'
import { promptOffsets } from './prompt-offsets.ts'

export type AnsweredPrompt = {
  /** What each choice begins with, and where in it each token begins; null: nothing. */
  readonly echo: { readonly text: string; readonly textOffsets: readonly number[] } | null
  /** null: not asked for. */
  readonly tokens: readonly PromptToken[] | null
}

/** @param scores of the prompt's tokens from the second on; null: not asked for */
export const answeredPrompt = (
  { tokens, echo }: Prompt,
  scores: readonly PromptLogprob[] | null,
  tokenizer: TokenNames,
): AnsweredPrompt => ({
  echo: echo === null ? null : { text: echo, textOffsets: promptOffsets(tokenizer, tokens, echo) },
  tokens: scores && tokens.map((token, at) => named(token, scores[at - 1], tokenizer)),
})

const named = (
  token: number,
  score: PromptLogprob | undefined,
  tokenizer: TokenNames,
): PromptToken => {
  const bytes = tokenizer.tokenBytes(token)
  if (score === undefined) return { token, bytes, score: null }
  const { logprob, rank, top } = score
  const likeliest = top.map((one) => ({ ...one, bytes: tokenizer.tokenBytes(one.token) }))
  return { token, bytes, score: { logprob, rank, top: likeliest } }
}
