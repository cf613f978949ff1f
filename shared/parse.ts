/** Small readers that turn `unknown` fields of a request into values, or say what is wrong. */
import { InvalidRequest } from './errors.ts'

/** A JSON object whose fields are not yet trusted. */
export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The value as an object. @throws InvalidRequest */
export const fields = (value: unknown, name: string): Fields => {
  if (!isFields(value)) throw new InvalidRequest(`${name} must be a JSON object.`)
  return value
}

/** A field that OpenAI's clients may send as null to mean "not given". */
const isGiven = (value: unknown): boolean => value !== undefined && value !== null

/** @throws InvalidRequest when the field is missing or no string */
export const requiredString = (from: Fields, name: string): string => {
  const value = from[name]
  if (typeof value === 'string') return value
  throw new InvalidRequest(
    isGiven(value)
      ? `'${name}' must be a string.`
      : `You must provide the parameter '${name}' (a string).`,
    name,
  )
}

export const optionalBoolean = (from: Fields, name: string): boolean | undefined => {
  const value = from[name]
  if (!isGiven(value)) return undefined
  if (typeof value === 'boolean') return value
  throw new InvalidRequest(`'${name}' must be true or false.`, name)
}

export type NumberRange = { readonly min: number; readonly max: number; readonly whole?: boolean }

/** @throws InvalidRequest when the field is given and is no number within `range` (both ends in) */
export const optionalNumber = (
  from: Fields,
  name: string,
  range: NumberRange,
): number | undefined => {
  const value = from[name]
  if (!isGiven(value)) return undefined
  const fits =
    typeof value === 'number' &&
    value >= range.min &&
    value <= range.max &&
    (!range.whole || Number.isSafeInteger(value))
  if (fits) return value
  const kind = range.whole ? 'a whole number' : 'a number'
  throw new InvalidRequest(
    `'${name}' must be ${kind} from ${range.min} to ${range.max}.`,
    name,
    'invalid_value',
  )
}

/** A string or a list of at most `maxItems` strings, none empty. */
export const optionalStrings = (
  from: Fields,
  name: string,
  maxItems: number,
): readonly string[] | undefined => {
  const value = from[name]
  if (!isGiven(value)) return undefined
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  const strings = list.filter((item): item is string => typeof item === 'string' && item !== '')
  if (strings.length === list.length && list.length <= maxItems) return strings
  throw new InvalidRequest(
    `'${name}' must be a string or a list of at most ${maxItems} strings, none of them empty.`,
    name,
  )
}
