import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { ChatTemplate } from '../../../backend/tokenizer/chat-template.ts'
import { InvalidRequest } from '../../../shared/errors.ts'
import type { ChatMessage } from '../../../shared/openai/chat.ts'

type Golden = { messages: ChatMessage[]; add_generation_prompt: boolean; rendered: string }

const golden: Golden[] = JSON.parse(
  readFileSync(new URL('../../fixtures/bundled-model/chat-template.json', import.meta.url), 'utf8'),
)

/** The template of the TigerBot write-up: its first line must stay, and nothing is indented. */
const tigerBot = `{{ "" }}
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ "\\n### Instruction:" }}
{% else %}
{{ "\\n### Response:" }}
{% endif %}
{{ message['content'] }}
{% endfor %}
{{ "\\n### Response:\\n" }}
`

const chat: ChatMessage[] = [
  { role: 'user', content: '3+5=?' },
  { role: 'assistant', content: '3+5=8' },
  { role: 'user', content: '再加上4' },
]

test('the bundled template renders as Hugging Face does', () => {
  const template = ChatTemplate.load(bundledModelFolder)
  expect(golden.length).toBeGreaterThanOrEqual(8)
  for (const { messages, add_generation_prompt, rendered } of golden) {
    expect(template?.render(messages, { addGenerationPrompt: add_generation_prompt })).toBe(
      rendered,
    )
  }
})

test("TigerBot's template gives its prompt format, byte for byte", () => {
  const template = new ChatTemplate(tigerBot)
  expect(template.render(chat.slice(0, 1), { addGenerationPrompt: true })).toBe(
    '\n\n### Instruction:\n3+5=?\n\n### Response:\n',
  )
  const bundled = ChatTemplate.load(bundledModelFolder)
  expect(bundled?.render(chat, { addGenerationPrompt: true })).toBe(
    template.render(chat, { addGenerationPrompt: true }),
  )
})

test('a template may refuse the messages in its own words', () => {
  const template = new ChatTemplate("{{ raise_exception('roles must alternate') }}")
  expect(() => template.render(chat, { addGenerationPrompt: true })).toThrow(
    new InvalidRequest(
      "The model's chat template refused the messages: roles must alternate.",
      'messages',
    ),
  )
})

test('tools and documents are none, as Hugging Face has it', () => {
  const template = new ChatTemplate(
    "{{ tools is none }} {{ documents is none }} {{ 'x' if tools is defined }}",
  )
  expect(template.render(chat, { addGenerationPrompt: true })).toBe('true true x')
})

test('special tokens are at hand in the template', () => {
  const template = new ChatTemplate('{{ bos_token }}{{ messages[0].content }}', {
    bos_token: '<s>',
  })
  expect(template.render(chat, { addGenerationPrompt: true })).toBe('<s>3+5=?')
})
