/** OpenAI messages → prompt text, by the model folder's Jinja template, as Hugging Face renders it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Template } from '@huggingface/jinja'
import type { ChatMessage } from '../../shared/openai/chat.ts'
import { InvalidRequest } from '../../shared/errors.ts'
import { isFields, type Fields } from '../../shared/parse.ts'
import { readModelText } from '../model-file.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { readOptionalJsonObject } from './json-object.ts'
import { withTimeLimit } from './time-limit.ts'

/** Those of known models have up to 20,000. */
const maxLength = 1 << 20

/** A thousand messages take some 0.1 s. */
const maxSeconds = 2

export type RenderOptions = { readonly addGenerationPrompt: boolean }

export class ChatTemplate {
  readonly #template: Template
  readonly #specialTokens: Readonly<Record<string, string>>
  readonly #seconds: number

  /**
   * @param specialTokens variables such as `bos_token` that templates print
   * @param seconds that reading the template, or rendering it, may take
   * @throws Error when it is no template
   */
  constructor(
    source: string,
    specialTokens: Readonly<Record<string, string>> = {},
    seconds = maxSeconds,
  ) {
    if (source.length > maxLength) {
      throw new Error(`its chat template has more than ${maxLength} characters`)
    }
    this.#template = withTimeLimit(seconds, () => new Template(source))
    this.#seconds = seconds
    this.#specialTokens = specialTokens
  }

  /**
   * `chat_template.jinja` if there, else `chat_template` of tokenizer_config.json (a string, or a
   * list of which `default` is taken). A model without one (a base model) gives null.
   * @throws ModelFolderError
   */
  static load(folder: string): ChatTemplate | null {
    const configPath = join(folder, 'tokenizer_config.json')
    const config = readOptionalJsonObject(configPath)
    const file = join(folder, 'chat_template.jinja')
    const source = existsSync(file) ? readModelText(file) : templateOf(config.chat_template)
    if (source === null) return null
    try {
      return new ChatTemplate(source, specialTokensOf(config))
    } catch (cause) {
      throw new ModelFolderError(existsSync(file) ? file : configPath, cause)
    }
  }

  /** @throws InvalidRequest when the template refuses the messages */
  render(messages: readonly ChatMessage[], options: RenderOptions): string {
    try {
      return withTimeLimit(this.#seconds, () =>
        this.#template.render({
          ...this.#specialTokens,
          messages,
          // Not left out, since templates ask whether they are none.
          tools: null,
          documents: null,
          add_generation_prompt: options.addGenerationPrompt,
        }),
      )
    } catch (cause) {
      // What the template says by raise_exception comes as an Error with its message.
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new InvalidRequest(
        `The model's chat template refused the messages: ${reason}.`,
        'messages',
      )
    }
  }
}

const templateOf = (value: unknown): string | null => {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return null
  const named = value.filter(isFields)
  const chosen = named.find((entry) => entry.name === 'default') ?? named[0]
  return typeof chosen?.template === 'string' ? chosen.template : null
}

/** `bos_token` and its like: strings, or objects with `content`. */
const specialTokensOf = (config: Fields): Record<string, string> => {
  const tokens: Record<string, string> = {}
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith('_token')) continue
    const text: unknown = isFields(value) ? value.content : value
    if (typeof text === 'string') tokens[name] = text
  }
  return tokens
}
