/** Chooses the tokenizer of a model folder by the files that are there. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ModelFolderError } from '../model-folder-error.ts'
import { HuggingFaceTokenizer } from './hugging-face-tokenizer.ts'
import { loadLlamaTokenizer } from './llama-tokenizer-folder.ts'
import type { Tokenizer } from './tokenizer.ts'

/** `tokenizer.json` if there, else SentencePiece's `tokenizer.model`. @throws ModelFolderError */
export const loadTokenizer = (folder: string): Tokenizer => {
  const path = join(folder, 'tokenizer.json')
  if (existsSync(path)) return HuggingFaceTokenizer.load(folder)
  if (existsSync(join(folder, 'tokenizer.model'))) return loadLlamaTokenizer(folder)
  throw new ModelFolderError(path, 'it is not there, and no tokenizer.model either')
}
