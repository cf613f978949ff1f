/**
 * Tokens that are cut out of a text before the model's algorithm sees it: special tokens and those
 * added after training.
 */
import { StringTrie } from './string-trie.ts'

export type AddedToken = {
  readonly id: number
  /** Not empty. */
  readonly content: string
  /** Whether decoding leaves it out. */
  readonly special: boolean
  /** Whether it swallows the whitespace on its left or right. */
  readonly lstrip: boolean
  readonly rstrip: boolean
  /** Whether it counts only where no letter, digit or sign but a space is next to it. */
  readonly singleWord: boolean
}

/** A stretch of text, or a token that stood in it. */
export type Section = string | AddedToken

/** Finds added tokens in texts: from the left, of those that begin at a place the longest. */
export class AddedTokens {
  readonly #tokens: readonly AddedToken[]
  readonly #trie = new StringTrie()

  constructor(tokens: readonly AddedToken[]) {
    this.#tokens = tokens
    for (const [index, { content }] of tokens.entries()) this.#trie.add(content, index)
  }

  /** The text in order, no stretch of it empty. */
  split(text: string): Section[] {
    const sections: Section[] = []
    let start = 0
    let afterToken: AddedToken | undefined
    const putText = (end: number, before: AddedToken | undefined): void => {
      let stretch = text.slice(start, end)
      if (afterToken?.rstrip) stretch = stretch.replace(/^\p{White_Space}+/u, '')
      if (before?.lstrip) stretch = trimEnd(stretch)
      if (stretch !== '') sections.push(stretch)
    }
    for (let at = 0; at < text.length;) {
      const match = this.#trie.longestAt(text, at)
      const token = match === undefined ? undefined : this.#tokens[match.number]
      if (match === undefined || token === undefined) {
        at += 1
        continue
      }
      const stands = !token.singleWord || standsAlone(text, at, match.end)
      if (stands) {
        putText(at, token)
        sections.push(token)
        afterToken = token
        start = match.end
      }
      at = match.end
    }
    putText(text.length, undefined)
    return sections
  }
}

const trimEnd = (text: string): string => {
  let end = text.length
  while (end > 0 && /\p{White_Space}/u.test(text.charAt(end - 1))) end -= 1
  return text.slice(0, end)
}

const standsAlone = (text: string, start: number, end: number): boolean =>
  (start === 0 || text[start - 1] === ' ') && (end === text.length || text[end] === ' ')
