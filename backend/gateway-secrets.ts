/**
 * The file of enrolment secrets: one secret alone, or a line `URL SECRET` for each gateway. Empty lines
 * and those that begin with # say nothing.
 */

export type GatewaySecrets =
  /** For whichever gateway is dialled; empty: there is none. */
  | { readonly kind: 'one'; readonly secret: string }
  | { readonly kind: 'each'; readonly byUrl: ReadonlyMap<string, string> }

/** What is wrong is added to `problems`, by the line's number and without a word of the line. */
export const parseGatewaySecrets = (text: string, problems: string[]): GatewaySecrets => {
  const lines = text
    .split('\n')
    .map((line, index) => ({ words: line.trim().split(/\s+/), number: index + 1 }))
    .filter(({ words: [first = ''] }) => first !== '' && !first.startsWith('#'))
  const [only] = lines
  if (lines.length === 0) return { kind: 'one', secret: '' }
  if (lines.length === 1 && only?.words.length === 1) {
    return { kind: 'one', secret: only.words[0] ?? '' }
  }
  const byUrl = new Map<string, string>()
  for (const { words, number } of lines) {
    const [url = '', secret = '', ...more] = words
    const href = URL.parse(url)?.href
    if (href === undefined || secret === '' || more.length > 0) {
      problems.push(`line ${number} of --token-file must be: URL SECRET`)
    } else if (byUrl.has(href)) {
      problems.push(`line ${number} of --token-file names a gateway that has a line already`)
    } else {
      byUrl.set(href, secret)
    }
  }
  return { kind: 'each', byUrl }
}
