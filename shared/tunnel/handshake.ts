/** The names that both ends use on the upgrade request. SPEC.md, "Handshake". */

/** This protocol in `Sec-WebSocket-Protocol`. */
export const protocolName = 'burrow.1'

/** Where a gateway takes tunnels. */
export const tunnelPath = '/tunnel'
