/** The child's half of `BenchProcess`: settings in, one ready message out, gone with its parent. */

/** What the parent gave this process. */
export const childSettings = <Settings>(): Settings => {
  process.once('disconnect', () => process.exit(0))
  return JSON.parse(process.argv[2] ?? '{}')
}

/** Tells the parent that this process is ready, with what it needs to know. */
export const ready = (details: object): void => {
  process.send?.({ ready: details })
}
