/** A manifest that says other sizes than the configuration it was converted with. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { openModel } from '../../../backend/conversion/open-model.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { silentLog } from '../../support/silent-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { TinyLlama } from '../graph/tiny-llama.ts'

const conversion = {
  tensorParallelSize: undefined,
  pipelineParallelSize: undefined,
  dtype: undefined,
  quantization: undefined,
  embeddingQuantization: undefined,
  ropeOverride: undefined,
}

const checkpoint = (): string => {
  const folder = tempFolder()
  new TinyLlama().write(folder)
  return folder
}

const change = (folder: string, fields: object): void => {
  const path = join(folder, 'manifest.json')
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...fields }))
}

test.each([
  [{ maxPositions: 1_000_000 }, 'maxPositions is 1000000, but by config.json 64'],
  [{ maxPositions: 8 }, 'maxPositions is 8, but by config.json 64'],
  [{ vocabSize: 49, numLayers: 2 }, 'numLayers is 2, but by config.json 3'],
  [{ headDim: 32 }, 'headDim is 32, but by config.json 16'],
  [{ numKvHeads: 1 }, 'numKvHeads is 1, but by config.json 2'],
])('of a folder that is served: %j is refused', async (fields, message) => {
  const folder = tempFolder()
  await convertModel(checkpoint(), folder, { isSelfContained: true })
  const open = () => openModel({ modelFolder: folder, home: tempFolder(), conversion }, silentLog)
  expect((await open()).manifest.maxPositions).toBe(64)
  change(folder, fields)
  await expect(open()).rejects.toThrow(ModelFolderError)
  await expect(open()).rejects.toThrow(
    `${join(folder, 'manifest.json')}: ${message}: convert the original model anew`,
  )
})

test('rotary scaling that was given for the conversion counts', async () => {
  const folder = tempFolder()
  const ropeOverride = { type: 'linear', factor: 4 } as const
  await convertModel(checkpoint(), folder, { isSelfContained: true, ropeOverride })
  const { manifest } = await openModel(
    { modelFolder: folder, home: tempFolder(), conversion },
    silentLog,
  )
  expect(manifest.maxPositions).toBe(256)
})

test('of a conversion that is kept: it is made anew', async () => {
  const [model, folder] = [checkpoint(), tempFolder()]
  await convertModel(model, folder)
  const path = join(folder, 'manifest.json')
  // As long as it was.
  writeFileSync(
    path,
    readFileSync(path, 'utf8').replace('"maxPositions": 64', '"maxPositions": 99'),
  )
  expect((await convertModel(model, folder)).maxPositions).toBe(64)
  expect(JSON.parse(readFileSync(path, 'utf8')).maxPositions).toBe(64)
})
