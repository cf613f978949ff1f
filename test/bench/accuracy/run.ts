/**
 * Asks a running Burrow all held-out cases of the bundled model and prints the share of exact answers.
 *
 *   node test/bench/accuracy/run.ts URL KEY [cases a task]
 */
import { readFileSync } from 'node:fs'
import OpenAI from 'openai'

type Case = {
  readonly task: string
  readonly messages: OpenAI.ChatCompletionMessageParam[]
  readonly expected: string
}

const [url, apiKey, limit = 'all'] = process.argv.slice(2)
if (!url || !apiKey)
  throw new Error('usage: node test/bench/accuracy/run.ts URL KEY [cases a task]')
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey })
const model = (await client.models.list()).data[0]?.id ?? ''

const cases: Case[] = readFileSync(new URL('cases.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))

const byTask = Map.groupBy(cases, ({ task }) => task)
const inFlight = 16

console.log('| task | cases | exact |\n|---|---|---|')
for (const [task, all] of byTask) {
  const queue = limit === 'all' ? [...all] : all.slice(0, Number(limit))
  const total = queue.length
  let exact = 0
  const work = async () => {
    for (let next = queue.pop(); next; next = queue.pop()) {
      const { messages, expected } = next
      const chat = await client.chat.completions.create({ model, messages, temperature: 0 })
      const answer = chat.choices[0]?.message.content
      if (answer === expected) exact++
      else console.error(task, JSON.stringify({ messages, expected, answer }))
    }
  }
  await Promise.all(Array.from({ length: inFlight }, work))
  console.log(`| ${task} | ${total} | ${((100 * exact) / total).toFixed(1)} % |`)
}
