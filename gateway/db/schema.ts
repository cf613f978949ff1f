/**
 * The gateway's tables, the same on SQLite and D1: plain SQL only.
 *
 * Times are milliseconds since the epoch. Keys and backends are revoked, never deleted, so that
 * usage records always find theirs.
 */
import { sql } from 'drizzle-orm'
import { integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'

export const apiKeys = sqliteTable('api_keys', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  /** HMAC-SHA-256 of the secret under the pepper, in hex. */
  digest: text('digest').notNull().unique(),
  /** Which pepper made the digest. */
  pepperVersion: text('pepper_version').notNull(),
  /** The secret's last four characters, for people to tell theirs apart. */
  hint: text('hint').notNull(),
  createdAt: integer('created_at').notNull(),
  revokedAt: integer('revoked_at'),
})

export const backends = sqliteTable(
  'backends',
  {
    id: text('id').primaryKey(),
    name: text('name').notNull(),
    /** Of the enrolment secret; empty where there is none: the backend came with the tunnel key. */
    hint: text('hint').notNull(),
    createdAt: integer('created_at').notNull(),
    revokedAt: integer('revoked_at'),
    /** Checks the backend's tokens (shared/auth/backend-key.ts); null where there is no secret. */
    publicKey: text('public_key').unique(),
    /** Served model names that it may register; null: any. */
    models: text('models', { mode: 'json' }).$type<readonly string[]>(),
  },
  (table) => [
    uniqueIndex('backends_name_unique')
      .on(table.name)
      .where(sql`revoked_at is null`),
  ],
)

/** Who may visit an exposed service: a secret for a time. */
export const serviceGrants = sqliteTable('service_grants', {
  id: text('id').primaryKey(),
  service: text('service').notNull(),
  /** The operator's note of whom it is for. */
  name: text('name').notNull(),
  /** HMAC-SHA-256 of the secret under the pepper, in hex. */
  digest: text('digest').notNull().unique(),
  pepperVersion: text('pepper_version').notNull(),
  hint: text('hint').notNull(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at').notNull(),
  revokedAt: integer('revoked_at'),
})

/** How a forwarded request ended. */
export const outcomes = ['completed', 'cancelled', 'failed'] as const

/**
 * `reported`: the engine's own final count; `last_reported`: the backend vanished, and this is what it had
 * told last; `lost`: it vanished before it had told anything.
 */
export const tokensSources = ['reported', 'last_reported', 'lost'] as const

export const usageRecords = sqliteTable('usage_records', {
  /** One row per request, whoever writes it and however often. */
  requestId: text('request_id').primaryKey(),
  keyId: text('key_id')
    .notNull()
    .references(() => apiKeys.id),
  backendId: text('backend_id').references(() => backends.id),
  model: text('model').notNull(),
  route: text('route').notNull(),
  stream: integer('stream', { mode: 'boolean' }).notNull(),
  /** The HTTP status the client got; 499 when it left before there was one, 0 when the gateway died. */
  status: integer('status').notNull(),
  outcome: text('outcome', { enum: outcomes }).notNull(),
  promptTokens: integer('prompt_tokens').notNull(),
  completionTokens: integer('completion_tokens').notNull(),
  tokensSource: text('tokens_source', { enum: tokensSources }).notNull(),
  startedAt: integer('started_at').notNull(),
  /** From the request's start to the first byte of a streamed answer. */
  ttftMs: integer('ttft_ms'),
  durationMs: integer('duration_ms').notNull(),
})
