/**
 * A process with an engine that is killed again and again (see killer.ts): prints, as JSON, what its
 * requests saw. Its argument: the options of the engine, as JSON.
 */
import { OnnxEngine, type OnnxEngineOptions } from '../../../backend/engine/engine.ts'
import { RecoveringEngine } from '../../../backend/engine/recovering-engine.ts'
import { createHandleMemory, HandleTable } from '../../../backend/onnxruntime/handle-table.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { eventually } from '../../support/eventually.ts'
import { generationRequest } from '../../support/generation-request.ts'
import { arm, type Kill } from './killer.ts'

export type KilledEngineOptions = Omit<OnnxEngineOptions, 'tokenizer'>

const given: KilledEngineOptions = JSON.parse(process.argv[2] ?? '')
const options: OnnxEngineOptions = { ...given, tokenizer: loadTokenizer(given.modelFolder) }
const kills: readonly Kill[] = JSON.parse(process.env.BURROW_TEST_KILLS ?? '[]')

const handles = createHandleMemory()
const reasons: unknown[] = []
const log = (event: string, fields?: { readonly reason?: unknown }): void => {
  if (event === 'the engine has died') reasons.push(fields?.reason)
}
const engine = await RecoveringEngine.start({
  start: (signal) => OnnxEngine.start(options, { handles, signal }),
  log: { info: log, warn: log, error: log },
  limits: { maxRestarts: kills.length, withinMs: 600_000, firstBackoffMs: 50, maxBackoffMs: 50 },
})

let numAsked = 0
const ask = () => {
  // Of each prompt all is computed: none begins as another does.
  const promptTokens = Array.from({ length: 100 }, (_, i) => 5 + numAsked + i)
  return generationRequest({ id: `${numAsked++}`, promptTokens, maxTokens: 20, ignoreEos: true })
}

const ends = async (count: number): Promise<string[]> => {
  const streams = engine.addAll(Array.from({ length: count }, ask))
  const results = await Promise.all(streams.map(({ result }) => result))
  return results.map(({ end }) => end)
}

const seen: unknown[] = []
for (const [index, kill] of kills.entries()) {
  // While the engine comes back from the one before.
  if (kill.at === 'load') continue
  arm(kill)
  if (kill.at === 'close') break
  const next = kills[index + 1]
  if (next?.at === 'load') arm(next)
  const restarts = engine.restarts
  const during = await ends(3)
  await eventually(() => engine.state === 'recovering')
  let refused: unknown = null
  try {
    engine.add(ask())
  } catch (error) {
    refused = error instanceof Error && 'code' in error ? error.code : String(error)
  }
  await eventually(() => engine.restarts > restarts, 20_000)
  seen.push({ during, refused, state: engine.state, after: await ends(1) })
}
const { restarts } = engine
await engine.close()
const ended = (await engine.ended).message
const handlesLeft = new HandleTable(handles).size
const { running, waiting } = engine.stats()
process.stdout.write(
  JSON.stringify({ seen, reasons, ended, restarts, running, waiting, handlesLeft }),
)
