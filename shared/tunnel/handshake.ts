/** The names that both ends use on the upgrade request. SPEC.md, "Handshake". */

/** This protocol in `Sec-WebSocket-Protocol`. */
export const protocolName = 'burrow.1'

/**
 * The text message by which an idle backend keeps a sleeping gateway's connection, and its answer,
 * which comes from the gateway's runtime and not from the gateway. SPEC.md, "Liveness".
 */
export const textPing = 'ping'
export const textPong = 'pong'

/** Where a gateway takes tunnels. */
export const tunnelPath = '/tunnel'
