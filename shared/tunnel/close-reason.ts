/** The text of a WebSocket's close frame. */

const maxReasonBytes = 123 // RFC 6455 section 5.5: a control frame holds 125 bytes, 2 are the code

/** The reason, cut to what a close frame holds, at a character's border. */
export const closeReason = (reason: string): string => {
  const bytes = new Uint8Array(maxReasonBytes)
  const { read } = new TextEncoder().encodeInto(reason, bytes)
  return reason.slice(0, read)
}
