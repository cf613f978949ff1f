/** What queries need of a database: the part that node:sqlite's driver and D1's have in common. */
import type { BaseSQLiteDatabase } from 'drizzle-orm/sqlite-core'

export type Database = Pick<
  BaseSQLiteDatabase<'async', unknown>,
  'select' | 'insert' | 'update' | '$count'
>
