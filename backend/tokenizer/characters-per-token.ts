/** How many characters of a text one token of a tokenizer.json can stand for. */
import { isFields, type Fields } from '../../shared/parse.ts'
import { byteLevelCharacters } from './token-bytes.ts'

/** Composing makes one character of four at most. */
const composition = 4

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** How much shorter a normalizer may make a text; null: there is no telling. */
const shrinking = (step: unknown): number | null => {
  if (!isFields(step)) return 1
  switch (step.type) {
    case 'NFD':
    case 'NFKD':
    case 'Prepend':
      return 1
    case 'NFC':
    case 'NFKC':
      return composition
    case 'Replace': {
      const { pattern, content } = step
      const from = isFields(pattern) ? pattern.String : undefined
      const isShorter = typeof from !== 'string' || String(content).length < from.length
      return isShorter ? null : 1
    }
    case 'Sequence':
      return list(step.normalizers)
        .map(shrinking)
        .reduce((all, one) => (all === null || one === null ? null : all * one), 1)
    default:
      return null
  }
}

/** Whether every character is still there after a pre-tokenizer. */
const keepsAll = (step: unknown): boolean => {
  if (!isFields(step)) return true
  if (step.type === 'Sequence') return list(step.pretokenizers).every(keepsAll)
  if (step.type === 'Split') return step.behavior === 'Isolated'
  return ['ByteLevel', 'Digits', 'Punctuation', 'Metaspace'].includes(String(step.type))
}

const hasByteLevel = (step: unknown): boolean =>
  isFields(step) && (step.type === 'ByteLevel' || list(step.pretokenizers).some(hasByteLevel))

const byteTokens = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
)

/** Whether no character is lost, and no run of them one unknown token. */
const tokenizesAll = (model: Fields, isByteLevel: boolean): boolean => {
  const vocabulary = isFields(model.vocab) ? model.vocab : {}
  const hasAll = (tokens: Iterable<string>): boolean =>
    [...tokens].every((token) => Object.hasOwn(vocabulary, token))
  if (isByteLevel && hasAll(byteLevelCharacters)) return true
  if (model.byte_fallback === true && hasAll(byteTokens)) return true
  return typeof model.unk_token === 'string' && model.fuse_unk !== true
}

/**
 * @param longestToken characters of the longest token as the vocabulary writes it
 * @returns null: a text of any length may become a few tokens
 */
export const charactersPerToken = (json: Fields, longestToken: number): number | null => {
  const { model, pre_tokenizer: cutting } = json
  const strips = list(json.added_tokens).some(
    (token) => isFields(token) && (token.lstrip === true || token.rstrip === true),
  )
  const shrinks = shrinking(json.normalizer)
  const isLossless =
    isFields(model) &&
    (model.type ?? 'BPE') === 'BPE' &&
    keepsAll(cutting) &&
    tokenizesAll(model, hasByteLevel(cutting))
  return strips || shrinks === null || !isLossless ? null : longestToken * shrinks
}
