/** The tables of SPEC.md, so that tests can hold the code against them. */
import markdown from '../../shared/tunnel/SPEC.md?raw'

const sections = new Map(
  markdown.split(/^## /m).map((section) => [
    section.split('\n', 1)[0] ?? '',
    (/(?:^\|.*\n)+/m.exec(section)?.[0] ?? '')
      .trim()
      .split('\n')
      .map((row) =>
        row
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      ),
  ]),
)

/** The rows of the first table of a section, without its head. */
export const specRows = (section: string): string[][] => {
  const rows = sections.get(section)?.slice(2) ?? []
  if (rows.length === 0) throw new Error(`SPEC.md has no table in ${section}`)
  return rows
}

export type SpecCell = { readonly row: string; readonly column: string; readonly says: string }

/** Each cell of a section's first table, with the names of its row and column. */
export const specCells = (section: string): SpecCell[] => {
  const columns = sections.get(section)?.[0] ?? []
  return specRows(section).flatMap(([row = '', ...cells]) =>
    cells.map((says, i) => ({ row, column: columns[i + 1] ?? '', says })),
  )
}
