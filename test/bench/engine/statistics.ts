/** Of several measurements. */

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

/** Of the mean of independent values. */
export const standardError = (values: readonly number[]): number => {
  const middle = mean(values)
  const squares = values.map((value) => (value - middle) ** 2)
  return Math.sqrt(mean(squares) / (values.length - 1))
}

/** A table in Markdown. */
export const printTable = (
  columns: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): void => {
  const lines = [columns, columns.map(() => '---'), ...rows]
  console.log(`${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`)
}
