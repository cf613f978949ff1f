/** How answers are drawn, and how many of them. */
import type OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import type { RunningBurrow } from '../support/running-burrow.ts'
import { model, recordOf, user } from './asking.ts'

/** @param burrow the running system, started once for all tests of `burrow up` */
export const samplingTests = (burrow: () => RunningBurrow): void => {
  describe('sampling', () => {
    test('a seed repeats the text, whoever else is served', async () => {
      const ask = (seed: number) =>
        burrow().client().completions.create({
          model,
          prompt: '\n\n### Instruction:\n',
          max_tokens: 40,
          temperature: 1.5,
          seed,
        })
      const alone = (await ask(7)).choices[0]?.text
      const crowd = await Promise.all([1, 2, 7, 3, 7, 4].map(ask))
      const texts = crowd.map(({ choices }) => choices[0]?.text)
      expect([texts[2], texts[4]]).toEqual([alone, alone])
      expect(new Set(texts).size).toBe(5)
    })

    test('n answers come together, and the usage counts the prompt once', async () => {
      const ask = { model, messages: [user('count from 1 to 30')], temperature: 1.2, seed: 5 }
      const { data: many, response } = await burrow()
        .client()
        .chat.completions.create({ ...ask, n: 3, max_tokens: 12, logprobs: true, top_logprobs: 2 })
        .withResponse()
      expect(many.choices.map(({ index }) => index)).toEqual([0, 1, 2])
      const { prompt_tokens = 0, completion_tokens = 0 } = many.usage ?? {}
      const numTokens = many.choices.map(({ logprobs }) => logprobs?.content?.length ?? 0)
      expect(numTokens.reduce((a, b) => a + b)).toBe(completion_tokens)
      expect(await recordOf(burrow(), response)).toMatchObject({ prompt_tokens, completion_tokens })
      for (const [index, { message, logprobs }] of many.choices.entries()) {
        // Choice i is what the seed + i gives alone.
        const one = await burrow()
          .client()
          .chat.completions.create({ ...ask, seed: 5 + index, max_tokens: 12 })
        expect(message.content).toBe(one.choices[0]?.message.content)
        expect(one.usage?.prompt_tokens).toBe(prompt_tokens)
        const tokens = logprobs?.content ?? []
        const bytes = tokens
          .filter(({ token }) => token !== '</s>')
          .flatMap((one) => one.bytes ?? [])
        expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(message.content)
        for (const { logprob, top_logprobs } of tokens) {
          expect(logprob).toBeLessThanOrEqual(top_logprobs[0]?.logprob ?? Number.NaN)
          expect(top_logprobs.length).toBe(2)
        }
      }
    })

    test('n answers stream side by side, as the official client puts them together', async () => {
      const ask = { model, messages: [user('count from 1 to 30')], temperature: 1.2, seed: 5, n: 3 }
      const whole = await burrow()
        .client()
        .chat.completions.create({ ...ask, logprobs: true })
      const streamed = await burrow()
        .client()
        .chat.completions.stream({ ...ask, logprobs: true })
        .finalChatCompletion()
      const told = ({ choices }: OpenAI.Chat.ChatCompletion) =>
        choices.map(({ message, finish_reason, logprobs }) => [
          message.content,
          finish_reason,
          logprobs?.content?.map(({ token }) => token),
        ])
      expect(told(streamed)).toEqual(told(whole))
    })

    test('text completions tell log-probabilities in four lists', async () => {
      const { choices } = await burrow().client().completions.create({
        model,
        prompt: '\n\n### Instruction:\n3+5=?\n\n### Response:\n',
        temperature: 0,
        logprobs: 3,
      })
      const { tokens = [], token_logprobs, top_logprobs, text_offset } = choices[0]?.logprobs ?? {}
      expect(tokens).toEqual(['3', '+', '5', '=', '8', '</s>'])
      expect(text_offset).toEqual([0, 1, 2, 3, 4, 5])
      expect(top_logprobs?.map((top) => Object.keys(top).length)).toEqual(Array(6).fill(3))
      expect(top_logprobs?.map((top, i) => top[tokens[i] ?? ''])).toEqual(token_logprobs)
    })

    test('biases, penalties and minimum lengths change the answer', async () => {
      const say = async (given: object) => {
        const body = { model, messages: [user('3+5=?')], temperature: 0, ...given }
        const response = await burrow().post('/v1/chat/completions', body)
        const { choices } = JSON.parse(await response.text())
        return choices[0].message.content
      }
      expect(await say({})).toBe('3+5=8')
      // 25 is the id of the digit 8.
      expect(await say({ logit_bias: { 25: -100 } })).toMatch(/^3\+5=[^8]/)
      expect(await say({ stop_token_ids: [25] })).toBe('3+5=')
      expect(await say({ stop_token_ids: [25], include_stop_str_in_output: true })).toBe('3+5=8')
      expect((await say({ min_tokens: 20, max_tokens: 20 })).length).toBeGreaterThan(6)
      expect(await say({ repetition_penalty: 50, max_tokens: 8 })).not.toBe('3+5=8')
    })

    test('max_tokens ends with length', async () => {
      const chat = await burrow()
        .client()
        .chat.completions.create({
          model,
          messages: [user('count from 1 to 30')],
          max_completion_tokens: 5,
        })
      expect(chat.choices[0]?.finish_reason).toBe('length')
      expect(chat.usage?.completion_tokens).toBe(5)
    })
  })
}
