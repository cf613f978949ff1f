/** Chooses tokenizer and chat template of a model by the files that are there. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findGguf } from '../checkpoint/converted-folder.ts'
import { readGgufVocabulary } from '../checkpoint/gguf-vocabulary.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { ChatTemplate } from './chat-template.ts'
import { ggufChatTemplate, ggufTokenizer } from './gguf-tokenizer.ts'
import { HuggingFaceTokenizer } from './hugging-face-tokenizer.ts'
import { loadLlamaTokenizer } from './llama-tokenizer-folder.ts'
import { timeLimited } from './time-limited-tokenizer.ts'
import type { Tokenizer } from './tokenizer.ts'

/** How a model reads and writes text. */
export type TextFormat = {
  readonly tokenizer: Tokenizer
  /** null: a base model, which has no chat format. */
  readonly chatTemplate: ChatTemplate | null
}

/**
 * What a GGUF file says of itself, or what the folder's files say.
 * @param model a model folder, or a .gguf file
 * @param maxSeconds that encoding a text may take; default: as long as anybody may wait
 * @throws ModelFolderError
 */
export const loadTextFormat = async (model: string, maxSeconds?: number): Promise<TextFormat> => {
  const path = await findGguf(model)
  if (path === null) {
    return {
      tokenizer: timeLimited(loadTokenizer(model), maxSeconds),
      chatTemplate: ChatTemplate.load(model),
    }
  }
  const vocabulary = await readGgufVocabulary(path)
  return {
    tokenizer: timeLimited(ggufTokenizer(path, vocabulary), maxSeconds),
    chatTemplate: ggufChatTemplate(path, vocabulary),
  }
}

/** `tokenizer.json` if there, else SentencePiece's `tokenizer.model`. @throws ModelFolderError */
export const loadTokenizer = (folder: string): Tokenizer => {
  const path = join(folder, 'tokenizer.json')
  if (existsSync(path)) return HuggingFaceTokenizer.load(folder)
  if (existsSync(join(folder, 'tokenizer.model'))) return loadLlamaTokenizer(folder)
  throw new ModelFolderError(path, 'it is not there, and no tokenizer.model either')
}
