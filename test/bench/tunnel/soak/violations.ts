/** What must never happen, and did. */

const mostShown = 20

export class Violations {
  readonly #seen: string[] = []
  count = 0

  add(what: string): void {
    this.count++
    if (this.#seen.length >= mostShown) return
    this.#seen.push(what)
    console.error(`VIOLATION ${what}`)
  }

  /** The first of them. */
  get list(): readonly string[] {
    return this.#seen
  }
}
