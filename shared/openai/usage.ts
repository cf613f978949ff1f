/** Tokens of one request, as the engine counted them. */
export type Usage = {
  readonly promptTokens: number
  readonly completionTokens: number
}

/** OpenAI's `usage` object. */
export const usageBody = (usage: Usage) => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.promptTokens + usage.completionTokens,
})
