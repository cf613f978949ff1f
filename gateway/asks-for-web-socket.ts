/** Which upgrades are served: all others (Java's clients offer h2c with every request) are plain requests. */
import type { IncomingMessage } from 'node:http'

export const asksForWebSocket = ({ headers }: Pick<IncomingMessage, 'headers'>): boolean =>
  headers.upgrade?.toLowerCase() === 'websocket'
