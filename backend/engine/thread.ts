/** The engine's own thread: owns the decoder, runs the step loop while there is work. */
import { setImmediate } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { ortApi } from '../onnxruntime/api.ts'
import { HandleTable, noteHandlesIn } from '../onnxruntime/handle-table.ts'
import { moveIntoHugePages } from '../onnxruntime/huge-pages.ts'
import { openDecoder } from '../sharding/sharded-decoder.ts'
import { loadTextFormat } from '../tokenizer/load-tokenizer.ts'
import type { GenerationRequest } from './generation.ts'
import type { EngineThreadData, FromEngine, ToEngine } from './messages.ts'
import { prepareInt8Cache } from './prepare-int8-cache.ts'
import { StepLoop } from './step-loop.ts'
import { StepMarks } from './step-watch.ts'
import { computeInBackground } from '../thread-priority.ts'

if (parentPort === null) throw new Error('the engine thread is started by engine.ts only')
const port = parentPort
const data: EngineThreadData = workerData

computeInBackground()

// A thread that died before this one, and its ranks, may have left sessions behind.
new HandleTable(data.handles).releaseAll(ortApi())
noteHandlesIn(data.handles)

const { tokenizer } = await loadTextFormat(data.modelFolder)
if (data.cacheDtype === 'int8') await prepareInt8Cache(tokenizer, data)
const decoder = openDecoder(data.graphFolder, {
  slots: data.numSlots,
  capacity: data.maxModelLen,
  intraOpNumThreads: data.intraOpNumThreads,
  cacheDtype: data.cacheDtype,
  // Ends the thread, as a step would that throws.
  onEnd: (reason) => {
    throw reason
  },
})
if (data.fingerprint !== undefined && data.fingerprint !== decoder.manifest.fingerprint) {
  decoder.close()
  throw new Error(
    `the converted model in ${data.graphFolder} was replaced by another one: restart the backend`,
  )
}
const loop = new StepLoop(decoder, tokenizer, {
  numSlots: data.numSlots,
  maxNumSeqs: data.maxNumSeqs,
  maxNumBatchedTokens: data.maxNumBatchedTokens,
  vocabSize: data.vocabSize,
  endOfSequenceTokens: new Set(data.endOfSequenceTokens),
})

const marks = new StepMarks(data.stepMarks)

const tell = (message: FromEngine): void => port.postMessage(message)

let isClosing = false
let isStepping = false

/** Steps until nothing is left; between two steps the port's messages are read. */
const runSteps = async (): Promise<void> => {
  if (isStepping) return
  isStepping = true
  for (;;) {
    if (isClosing || !loop.hasWork) break
    marks.next()
    const events = loop.step()
    if (events.length > 0) tell({ type: 'events', events, stats: loop.stats() })
    marks.next()
    await setImmediate()
  }
  isStepping = false
  if (isClosing) {
    decoder.close()
    port.close()
  }
}

/** A request that cannot even be begun fails alone. */
const add = (request: GenerationRequest): void => {
  try {
    loop.add(request)
  } catch (error) {
    const failed = { id: request.id, text: '', completionTokens: 0, end: 'error' } as const
    tell({ type: 'events', events: [{ ...failed, reason: String(error) }], stats: loop.stats() })
  }
}

port.on('message', (message: ToEngine) => {
  if (message.type === 'add') add(message.request)
  if (message.type === 'abort') loop.abort(message.id)
  if (message.type === 'close') isClosing = true
  // A step that throws is not caught: it ends the thread, and engine.ts tells every request.
  void runSteps()
})

/** A little after each step. */
const moveMemory = async (): Promise<void> => {
  for (const _ of moveIntoHugePages()) {
    await setImmediate()
    if (isClosing) return
  }
}

tell({ type: 'ready' })
void moveMemory()
