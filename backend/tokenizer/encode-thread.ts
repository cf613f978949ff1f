/** The thread of long prompts: encodes one text after the other. Started by prompt-encoder.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { computeInBackground } from '../thread-priority.ts'
import { loadTextFormat } from './load-tokenizer.ts'
import { TextTakesTooLong } from './time-limited-tokenizer.ts'

export type EncodeThreadData = {
  /** A model folder, or a .gguf file. */
  readonly model: string
  /** That one text may take; undefined: what is usual. */
  readonly maxSeconds: number | undefined
}

export type EncodeJob = { readonly text: string; readonly addSpecialTokens: boolean }

export type EncodeAnswer =
  | { readonly ids: number[] }
  /** See {@link TextTakesTooLong}. */
  | { readonly tooLong: number }
  | { readonly failure: unknown }

if (parentPort === null) throw new Error('the thread is started by prompt-encoder.ts only')
const port = parentPort
const { model, maxSeconds }: EncodeThreadData = workerData

computeInBackground()

const { tokenizer } = await loadTextFormat(model, maxSeconds)

const answerTo = ({ text, addSpecialTokens }: EncodeJob): EncodeAnswer => {
  try {
    return { ids: tokenizer.encode(text, addSpecialTokens) }
  } catch (error) {
    return error instanceof TextTakesTooLong ? { tooLong: error.seconds } : { failure: error }
  }
}

port.on('message', (job: EncodeJob) => port.postMessage(answerTo(job)))
