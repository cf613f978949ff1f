import { statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { OnnxEngine, type OnnxEngineOptions } from '../../../backend/engine/engine.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { generationRequest } from '../../support/generation-request.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'

const folder = makeTempFolder()
const prompt = '\n\n### Instruction:\n3+5=?\n\n### Response:\n'
const tokenizer = loadTokenizer(bundledModelFolder)
const promptTokens = tokenizer.encode(prompt, false)
let vocabSize = 0

beforeAll(async () => {
  vocabSize = (await convertModel(bundledModelFolder, folder)).vocabSize
})
afterAll(() => removeFolder(folder))

const startEngine = (given: Partial<OnnxEngineOptions>): Promise<OnnxEngine> =>
  OnnxEngine.start({
    modelFolder: bundledModelFolder,
    graphFolder: folder,
    tokenizer,
    numSlots: 2,
    maxNumSeqs: 2,
    maxNumRequests: 2,
    maxNumBatchedTokens: 32,
    vocabSize,
    maxModelLen: 256,
    endOfSequenceTokens: [1],
    intraOpNumThreads: 1,
    ...given,
  })

test('an engine with an int8 cache answers, and the next one finds its graphs', async () => {
  const graphs = join(folder, 'model.int8-cache.onnx')
  const answers: string[] = []
  const written: number[] = []
  for (let start = 0; start < 2; start++) {
    const engine = await startEngine({ cacheDtype: 'int8' })
    let text = ''
    for await (const event of engine.add(generationRequest({ promptTokens }))) text += event.text
    answers.push(text)
    written.push(statSync(graphs).mtimeMs)
    await engine.close()
  }
  expect(answers).toEqual(['3+5=8', '3+5=8'])
  expect(written[0]).toBe(written[1])
})

test('an engine does not load another model than the one it was made for', async () => {
  await expect(startEngine({ fingerprint: 'of another' })).rejects.toThrow(
    'was replaced by another one: restart the backend',
  )
})

test('an engine that cannot load the model fails the start with its reason', async () => {
  await expect(startEngine({ graphFolder: '/nowhere' })).rejects.toThrow('/nowhere')
  await expect(startEngine({ maxModelLen: 4_096 })).rejects.toThrow('capacity')
})
