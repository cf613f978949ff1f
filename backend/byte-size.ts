/** Sizes of memory as people write them: `512M`, `4G`, in powers of 1024. */

const units = ['', 'K', 'M', 'G', 'T']

/** @returns bytes; undefined for a text that is no size */
export const parseByteSize = (text: string): number | undefined => {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:iB|B)?$/i.exec(text.trim())
  const [, number = '', unit = ''] = match ?? []
  const bytes = Math.floor(Number(number) * 1024 ** units.indexOf(unit.toUpperCase()))
  return match !== null && Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}

/** With the unit that leaves the fewest digits: `1.5 GiB`. */
export const formatByteSize = (bytes: number): string => {
  let power = 0
  while (power < units.length - 1 && bytes >= 1024 ** (power + 1)) power++
  const number = Number((bytes / 1024 ** power).toFixed(1))
  return power === 0 ? `${number} B` : `${number} ${units[power]}iB`
}
