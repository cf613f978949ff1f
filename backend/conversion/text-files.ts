/** What a model needs beside its weights to be served: configuration, tokenizer and chat template. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readConfigText } from '../checkpoint/config-text.ts'
import { findGguf } from '../checkpoint/converted-folder.ts'
import { ggufVocabularyFile, vocabularyFile } from '../checkpoint/gguf-vocabulary-file.ts'
import { readModelFile } from '../model-file.ts'

const configFile = 'config.json'

/** Those that are there; a GGUF file has them in its metadata, but for the first one. */
const optionalFiles = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
]

export const isTextFile = (name: string): boolean =>
  [configFile, vocabularyFile, ...optionalFiles].includes(name)

/**
 * The files by name, each a few MiB at most.
 * @param model a model folder, or a .gguf file
 * @throws ModelFolderError
 */
export const readTextFiles = async (model: string): Promise<Map<string, Uint8Array>> => {
  const files = new Map<string, Uint8Array>()
  const { text } = await readConfigText(model)
  files.set(configFile, new TextEncoder().encode(text))
  const gguf = await findGguf(model)
  if (gguf !== null) files.set(vocabularyFile, await ggufVocabularyFile(gguf))
  // Beside a .gguf file that is named itself nothing is looked for.
  const names = gguf === model ? [] : gguf === null ? optionalFiles : optionalFiles.slice(0, 1)
  for (const name of names) {
    const path = join(model, name)
    if (existsSync(path)) files.set(name, readModelFile(path))
  }
  return files
}
