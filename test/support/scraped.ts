/** What a scraper reads: every sample by its name and labels, and the types. */

export type Scraped = {
  readonly samples: ReadonlyMap<string, number>
  readonly types: ReadonlyMap<string, string>
}

/** @throws Error on a line that is not of the format, or a sample that comes twice */
export const parseScrape = (text: string): Scraped => {
  const samples = new Map<string, number>()
  const types = new Map<string, string>()
  if (!text.endsWith('\n')) throw new Error('the last line must end too')
  for (const line of text.slice(0, -1).split('\n')) {
    const [, name = '', type = ''] = /^# TYPE (\w+) (counter|gauge)$/.exec(line) ?? []
    if (type) types.set(name, type)
    if (type || /^# HELP \w+ .+$/.test(line)) continue
    const [, series = '', value] =
      /^(\w+(?:\{\w+="(?:[^"\\]|\\.)*"(?:,\w+="(?:[^"\\]|\\.)*")*\})?) (\S+)$/.exec(line) ?? []
    if (value === undefined || samples.has(series)) throw new Error(`a bad line: ${line}`)
    samples.set(series, Number(value))
  }
  return { samples, types }
}

/** Those of `names`, without `burrow_tunnel_`. */
export const samplesOf = (text: string, ...names: readonly string[]): Record<string, number> =>
  Object.fromEntries(
    [...parseScrape(text).samples]
      .map(([series, value]) => [series.replace('burrow_tunnel_', ''), value] as const)
      .filter(([series]) => names.includes(series.split('{')[0] ?? '')),
  )
