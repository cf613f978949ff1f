/** Statements of the request path: making their SQL anew takes several times as long as running them. */
import type { Database } from './database.ts'

/** Builds a statement once for each database. */
export const preparedOnce = <Statement>(
  build: (db: Database) => Statement,
): ((db: Database) => Statement) => {
  const built = new WeakMap<Database, Statement>()
  return (db) => {
    const known = built.get(db)
    if (known) return known
    const statement = build(db)
    built.set(db, statement)
    return statement
  }
}
