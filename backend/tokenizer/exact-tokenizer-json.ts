/**
 * Rewrites the parts of a tokenizer.json that @huggingface/tokenizers 0.2.0 does otherwise than the
 * original (the Rust crate `tokenizers`) into parts that it does the same, and refuses what has none.
 */
import { isFields, type Fields } from '../../shared/parse.ts'

/** ByteLevel's own regex. */
const byteLevelRegex =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/** @throws Error that names what is not supported */
export const exactTokenizerJson = (json: Fields): Fields => {
  const steps = exactPreTokenizer(json.pre_tokenizer)
  const [only = null] = steps
  return {
    ...json,
    pre_tokenizer: steps.length > 1 ? { type: 'Sequence', pretokenizers: steps } : only,
  }
}

/** The steps that a pre-tokenizer becomes. */
const exactPreTokenizer = (step: unknown): Fields[] => {
  if (!isFields(step)) return []
  switch (step.type) {
    case 'Sequence':
      return list(step.pretokenizers).flatMap(exactPreTokenizer)
    case 'Digits':
      // The library's \d is 0-9; the original takes every character of category N.
      return [isolated(step.individual_digits === true ? '\\p{N}' : '\\p{N}+')]
    case 'ByteLevel':
      // The library's \s has U+FEFF and lacks U+0085. A prefix space comes before the regex, so it
      // cannot be taken apart.
      if (step.use_regex === false || step.add_prefix_space === true) return [step]
      return [isolated(byteLevelRegex), { ...step, use_regex: false }]
    case 'Punctuation':
      return [punctuation(step)]
    case 'Split':
      return [checkedSplit(step)]
    case 'Metaspace':
      // The library never splits.
      return step.split === false ? [step] : [step, isolated('▁[^▁]*')]
    default:
      return [step]
  }
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

const isolated = (regex: string): Fields => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
})

/** The library always takes runs of punctuation together and knows no other behaviour. */
const punctuation = ({ behavior = 'Isolated' }: Fields): Fields => {
  const one = '[\\p{P}!-/:-@\\[-`{-~]'
  if (behavior === 'Isolated') return isolated(one)
  if (behavior === 'Contiguous') return isolated(`${one}+`)
  throw new Error(
    `its pre-tokenizer Punctuation has the behaviour ${String(behavior)}, which is not supported`,
  )
}

/** The library takes any behaviour but these for Isolated. */
const checkedSplit = (step: Fields): Fields => {
  const { behavior, invert } = step
  if (behavior === 'Removed' || (behavior === 'Isolated' && invert !== true)) return step
  throw new Error(
    `its pre-tokenizer Split has the behaviour ${String(behavior)}${invert === true ? ', inverted' : ''}, which is not supported`,
  )
}
