/** Polls until `look` gives a value other than undefined, null or false; fails after `timeoutMs`. */
export const eventually = async <T>(
  look: () => T | Promise<T>,
  timeoutMs = 5_000,
): Promise<NonNullable<Exclude<T, false>>> => {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await look()
    if (value !== undefined && value !== null && value !== false) {
      return value as NonNullable<Exclude<T, false>>
    }
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${look}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
