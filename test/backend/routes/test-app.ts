/** The backend's app over a scripted engine and the bundled model's tokenizer, for tests of the routes. */
import { createBackendApp } from '../../../backend/app.ts'
import { bundledModelFolder } from '../../../backend/config.ts'
import type { GenerationRequest } from '../../../backend/engine/generation.ts'
import type { GenerationStream } from '../../../backend/engine/generation-stream.ts'
import type { LoadedModel } from '../../../backend/served-model.ts'
import { ChatTemplate } from '../../../backend/tokenizer/chat-template.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { PromptEncoder } from '../../../backend/tokenizer/prompt-encoder.ts'
import type { Usage } from '../../../shared/openai/usage.ts'
import { ScriptedEngine } from '../../support/scripted-engine.ts'
import { silentLog } from '../../support/silent-log.ts'

const tokenizer = loadTokenizer(bundledModelFolder)

export const testModel: LoadedModel = {
  name: 'tiger',
  created: 1_700_000_000,
  maxModelLen: 64,
  vocabSize: 640,
  endOfSequenceTokens: [1],
  tokenizer,
  promptEncoder: new PromptEncoder(tokenizer, bundledModelFolder),
  chatTemplate: ChatTemplate.load(bundledModelFolder),
  samplingDefaults: { temperature: 0.3, topP: 0.9, topK: 0, minP: 0, repetitionPenalty: 1 },
}

export const appOver = (engine: ScriptedEngine, given: Partial<LoadedModel> = {}) =>
  createBackendApp({ engine, model: { ...testModel, ...given }, log: silentLog })

/** @param onAdd pushes the events of a request, at once or later */
export const appWith = (
  onAdd: (stream: GenerationStream, request: GenerationRequest) => void,
  given: Partial<LoadedModel> = {},
) => {
  const engine = new ScriptedEngine(onAdd)
  return { engine, app: appOver(engine, given) }
}

/** One event for each text, and the end. */
export const say =
  (...texts: string[]) =>
  (stream: GenerationStream) => {
    texts.forEach((text, i) => stream.push({ id: 'x', text, completionTokens: i + 1 }))
    stream.push({ id: 'x', text: '', completionTokens: texts.length + 1, end: 'stop' })
  }

export const post = (path: string, body: unknown, init: RequestInit = {}) =>
  new Request(`http://backend${path}`, { method: 'POST', body: JSON.stringify(body), ...init })

/** The tunnel's side of a request: takes the usage. */
export const exchangeWith = (usages: Promise<Usage | null>[]) => ({
  requestId: 'req_1',
  reportUsage: () => {},
  usage: (final: Promise<Usage | null>) => usages.push(final),
})

export const chatBody = { model: 'tiger', messages: [{ role: 'user', content: '3+5=?' }] }

/** The JSON of a stream's events, which must end with `[DONE]`. */
export const chunksOf = async (response: Response) => {
  const events = (await response.text()).split('\n\n')
  if (events.slice(-2).join() !== 'data: [DONE],') throw new Error('the stream has no [DONE]')
  return events.slice(0, -2).map((event) => JSON.parse(event.slice('data: '.length)))
}
