/** One line per event, for people: `12:00:01 info tunnel connected backend=local`. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface Log {
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

const value = (v: string | number | boolean | null): string =>
  typeof v === 'string' && !/^[\w.:/@+-]+$/.test(v) ? JSON.stringify(v) : String(v)

const line = (level: string, event: string, fields: LogFields): string => {
  const pairs = Object.entries(fields).flatMap(([key, v]) =>
    v === undefined ? [] : [`${key}=${value(v)}`],
  )
  return [new Date().toISOString().slice(11, 19), level, event, ...pairs].join(' ')
}

/** Writes each event as a line to `write` (a newline is not added). */
export const lineLog = (write: (line: string) => void): Log => ({
  info: (event, fields = {}) => write(line('info', event, fields)),
  warn: (event, fields = {}) => write(line('warn', event, fields)),
  error: (event, fields = {}) => write(line('error', event, fields)),
})
