/**
 * What SentencePiece does to a text before it is cut into pieces: rules of a character map, whitespace,
 * the dummy prefix (https://github.com/google/sentencepiece/blob/master/src/normalizer.cc).
 */
import { PrecompiledCharsMap } from './precompiled-chars-map.ts'
import type { NormalizerSpec } from './sentencepiece-model.ts'
import type { StringTrie } from './string-trie.ts'

/** U+2581, which stands for a space inside pieces. */
export const spaceSymbol = '\u2581'

export class SentencePieceNormalizer {
  readonly #spec: NormalizerSpec
  readonly #charsMap: PrecompiledCharsMap | null
  readonly #symbols: StringTrie | null

  /** @param symbols user-defined pieces, which no rule changes; null: none. @throws Error for damaged rules */
  constructor(spec: NormalizerSpec, symbols: StringTrie | null) {
    this.#spec = spec
    this.#symbols = symbols
    this.#charsMap =
      spec.precompiledCharsMap.length === 0
        ? null
        : new PrecompiledCharsMap(spec.precompiledCharsMap)
  }

  /** @param text well-formed. @param dummyPrefix whether a space is put before it */
  normalize(text: string, dummyPrefix: boolean): string {
    const { removeExtraWhitespaces, escapeWhitespaces } = this.#spec
    const space = escapeWhitespaces ? spaceSymbol : ' '
    if (text === '') return ''
    if (this.#charsMap === null && this.#symbols === null && !removeExtraWhitespaces) {
      return (dummyPrefix ? space : '') + text.replaceAll(' ', space)
    }
    let start = 0
    if (removeExtraWhitespaces) {
      while (start < text.length) {
        const { replacement, end } = this.#next(text, start)
        if (replacement !== ' ') break
        start = end
      }
      if (start === text.length) return ''
    }
    const parts: string[] = dummyPrefix ? [space] : []
    let afterSpace = removeExtraWhitespaces
    while (start < text.length) {
      const { replacement, end } = this.#next(text, start)
      const kept = afterSpace ? replacement.replace(/^ +/, '') : replacement
      if (kept !== '') {
        parts.push(kept.replaceAll(' ', space))
        afterSpace = removeExtraWhitespaces && kept.endsWith(' ')
      }
      start = end
    }
    const normalized = parts.join('')
    if (!removeExtraWhitespaces) return normalized
    let length = normalized.length
    while (normalized.endsWith(space, length)) length -= 1
    return normalized.slice(0, length)
  }

  /** The next stretch of text that is replaced as a whole: a symbol, a rule's left side, a character. */
  #next(text: string, start: number): { replacement: string; end: number } {
    const symbol = this.#symbols?.longestAt(text, start)
    if (symbol !== undefined) {
      return { replacement: text.slice(start, symbol.end), end: symbol.end }
    }
    const rule = this.#charsMap?.longestAt(text, start)
    if (rule !== undefined) return rule
    const end = start + (text.codePointAt(start)! > 0xffff ? 2 : 1)
    return { replacement: text.slice(start, end), end }
  }
}
