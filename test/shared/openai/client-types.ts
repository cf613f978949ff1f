/** The official client's types of text completions, which do not say that an echoed prompt's first token has nulls. */
import type OpenAI from 'openai'

type Logprobs = OpenAI.CompletionChoice.Logprobs

export type CompletionLogprobs = Pick<Logprobs, 'tokens' | 'text_offset'> & {
  readonly token_logprobs?: (number | null)[]
  readonly top_logprobs?: (Record<string, number> | null)[]
}

export type Completion = Omit<OpenAI.Completion, 'choices'> & {
  readonly choices: (Omit<OpenAI.CompletionChoice, 'logprobs'> & {
    readonly logprobs: CompletionLogprobs | null
  })[]
}
