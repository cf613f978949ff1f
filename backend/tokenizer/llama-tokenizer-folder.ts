/**
 * A LlamaTokenizer from the files of a model folder: `tokenizer.model`, and of those that are there
 * tokenizer_config.json, special_tokens_map.json, added_tokens.json, read as transformers reads them
 * (tokenization_utils_base.py, _from_pretrained): `added_tokens_decoder` of the configuration, where it
 * is, stands for the two files of older checkpoints.
 */
import { join } from 'node:path'
import { isFields, type Fields } from '../../shared/parse.ts'
import { readModelFile } from '../model-file.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import type { AddedToken } from './added-tokens.ts'
import { readOptionalJsonObject } from './json-object.ts'
import { LlamaTokenizer } from './llama-tokenizer.ts'
import { parseSentencePieceModel } from './sentencepiece-model.ts'
import { SentencePiece } from './sentencepiece.ts'

/** Fields that name a special token, with LlamaTokenizer's defaults. */
const specialTokenDefaults: readonly (readonly [field: string, content: string | null])[] = [
  ['bos_token', '<s>'],
  ['eos_token', '</s>'],
  ['unk_token', '<unk>'],
  ['pad_token', null],
  ['sep_token', null],
  ['cls_token', null],
  ['mask_token', null],
]

type Naming = Omit<AddedToken, 'id' | 'special'>

/** @throws ModelFolderError */
export const loadLlamaTokenizer = (folder: string): LlamaTokenizer => {
  const path = join(folder, 'tokenizer.model')
  const sentencePiece = readSentencePiece(path)
  const configPath = join(folder, 'tokenizer_config.json')
  const config = readOptionalJsonObject(configPath)
  const isOld = !isFields(config.added_tokens_decoder)
  const specials: Fields = isOld
    ? { ...config, ...readOptionalJsonObject(join(folder, 'special_tokens_map.json')) }
    : config
  const named = namedTokens(specials)
  const addedPath = isOld ? join(folder, 'added_tokens.json') : configPath
  const added = isOld
    ? oldAddedTokens(addedPath, readOptionalJsonObject(addedPath))
    : newAddedTokens(addedPath, config.added_tokens_decoder)
  const tokens = new Map(added.map((token) => [token.content, token]))
  for (const naming of named.values()) {
    const known = tokens.get(naming.content)
    const id = known?.id ?? sentencePiece.idOf(naming.content)
    // A name without a token is given a new id by transformers, for which no model has an embedding.
    if (id === undefined) continue
    tokens.set(naming.content, { ...naming, ...(isOld ? {} : known), id, special: true })
  }
  const isLegacy = config.legacy !== false
  const edge = (field: string, isAdded: boolean): number[] => {
    const token = tokens.get(named.get(field)?.content ?? '')
    if (!isAdded) return []
    if (token !== undefined) return [token.id]
    throw new ModelFolderError(configPath, `it adds the ${field}, but the vocabulary has none`)
  }
  return new LlamaTokenizer(sentencePiece, {
    addedTokens: [...tokens.values()],
    prefixIds: edge('bos_token', config.add_bos_token !== false),
    suffixIds: edge('eos_token', config.add_eos_token === true),
    dummyPrefix: isLegacy ? 'model' : config.add_prefix_space === false ? 'never' : 'first',
  })
}

const readSentencePiece = (path: string): SentencePiece => {
  const model = parseSentencePieceModel(path, readModelFile(path))
  try {
    return new SentencePiece(model)
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
}

/** A token is named by its text or by an object with its text as `content`. */
const naming = (value: unknown): Naming | undefined => {
  const fields: Fields = isFields(value) ? value : { content: value }
  const { content } = fields
  if (typeof content !== 'string' || content === '') return undefined
  return {
    content,
    lstrip: fields.lstrip === true,
    rstrip: fields.rstrip === true,
    singleWord: fields.single_word === true,
  }
}

/** Special tokens by field name; `additional_special_tokens` by field name and place. */
const namedTokens = (fields: Fields): Map<string, Naming> => {
  const named = new Map<string, Naming>()
  const put = (key: string, value: unknown): void => {
    const found = naming(value)
    if (found !== undefined) named.set(key, found)
  }
  for (const [field, content] of specialTokenDefaults) {
    // An explicit null takes the default away.
    put(field, field in fields ? fields[field] : content)
  }
  const additional: unknown = fields.additional_special_tokens
  const list: readonly unknown[] = Array.isArray(additional) ? additional : []
  for (const [index, value] of list.entries()) put(`additional_special_tokens ${index}`, value)
  return named
}

const tokenId = (path: string, content: string, id: unknown): number => {
  if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return id
  throw new ModelFolderError(path, `token ${JSON.stringify(content)} has no proper id`)
}

/** added_tokens.json: text → id. */
const oldAddedTokens = (path: string, file: Fields): AddedToken[] =>
  Object.entries(file).flatMap(([content, value]) => {
    const id = tokenId(path, content, value)
    const found = naming(content)
    return found === undefined ? [] : [{ ...found, id, special: false }]
  })

/** added_tokens_decoder: id → token. */
const newAddedTokens = (path: string, decoder: unknown): AddedToken[] =>
  Object.entries(isFields(decoder) ? decoder : {}).flatMap(([key, value]) => {
    const found = naming(value)
    if (found === undefined || !isFields(value)) return []
    const id = tokenId(path, found.content, /^\d+$/.test(key) ? Number(key) : undefined)
    return [{ ...found, id, special: value.special === true }]
  })
