/** Header allow-lists. */

/** A copy that has the listed headers only. */
export const onlyHeaders = (names: readonly string[], headers: Headers): Headers => {
  const some = new Headers()
  for (const name of names) {
    const value = headers.get(name)
    if (value !== null) some.set(name, value)
  }
  return some
}
