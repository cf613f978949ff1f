/**
 * Checks what @huggingface/tokenizers takes on trust of a tokenizer.json: that tokens are texts and ids
 * places in a list.
 */
import { isFields, type Fields } from '../../shared/parse.ts'

/** The largest known vocabulary has 900,000 tokens; the library makes lists as long as the largest id. */
const maxId = 1 << 24

const checkId = (token: string, id: unknown): void => {
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id <= maxId) return
  throw new Error(`its token ${JSON.stringify(token)} has the id ${JSON.stringify(id)}`)
}

const checkVocabulary = (model: unknown): void => {
  const vocabulary = isFields(model) ? model.vocab : undefined
  // Unigram's is a list of pieces with scores: an id is a place in it.
  if (Array.isArray(vocabulary)) return
  if (!isFields(vocabulary)) throw new Error('it has no vocabulary')
  for (const token of Object.keys(vocabulary)) checkId(token, vocabulary[token])
}

/** Without those of no characters, which are nowhere in a text. */
const checkAddedTokens = (tokens: unknown): Fields[] => {
  if (!Array.isArray(tokens)) throw new Error('its added_tokens must be a list')
  const found = tokens.map((token: unknown) => {
    if (!isFields(token) || typeof token.content !== 'string') {
      throw new Error('an added token is no text')
    }
    checkId(token.content, token.id)
    return token
  })
  return found.filter(({ content }) => content !== '')
}

/** Its regex would run for every token of an answer; no known model has one there. */
const refuseRegex = (decoder: unknown): void => {
  if (!isFields(decoder)) return
  if (isFields(decoder.pattern) && decoder.pattern.Regex !== undefined) {
    throw new Error(`its decoder ${String(decoder.type)} has a regex, which is not supported`)
  }
  if (Array.isArray(decoder.decoders)) decoder.decoders.forEach(refuseRegex)
}

/** @throws Error that says what is wrong */
export const checkedTokenizerJson = (json: Fields): Fields => {
  checkVocabulary(json.model)
  refuseRegex(json.decoder)
  return { ...json, added_tokens: checkAddedTokens(json.added_tokens ?? []) }
}
