/** Prometheus' text format, version 0.0.4. */

export type Labels = Readonly<Record<string, string>>

export type Sample = { readonly labels: Labels; readonly value: number }

export type Metric = {
  /** In base units, which it names: seconds, bytes. A counter's ends with `_total`. */
  readonly name: string
  /** One line. */
  readonly help: string
  readonly type: 'counter' | 'gauge'
  /** No two with the same labels. */
  readonly samples: readonly Sample[]
}

export const prometheusType = 'text/plain; version=0.0.4; charset=utf-8'

/** What a scraper is answered. Metrics without samples keep their head: they exist, and are nothing yet. */
export const renderMetrics = (metrics: readonly Metric[]): string =>
  metrics.map(renderMetric).join('')

const renderMetric = ({ name, help, type, samples }: Metric): string =>
  [
    `# HELP ${name} ${escape(help)}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(({ labels, value }) => `${name}${renderLabels(labels)} ${value}`),
    '',
  ].join('\n')

const renderLabels = (labels: Labels): string => {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${escape(value).replaceAll('"', String.raw`\"`)}"`,
  )
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

const escape = (text: string): string =>
  text.replaceAll('\\', String.raw`\\`).replaceAll('\n', String.raw`\n`)
