/** Every size, count and time limit of burrow.1, each with its reason. SPEC.md lists the same numbers. */

const KiB = 1024
const MiB = 1024 * KiB

/** Sizes and counts. A peer that breaks one loses the stream or the connection; SPEC.md says which. */
export const limits = {
  /** One WebSocket message: several frames share its cost, and none waits long behind it. */
  messageBytes: 256 * KiB,
  /** Bounds the work that one message can ask for; 512 smallest frames are 4 KiB. */
  framesPerMessage: 512,
  /** One DATA payload: no stream holds the line for longer than 16 KiB. */
  dataBytes: 16 * KiB,
  helloBytes: 16 * KiB,
  welcomeBytes: 4 * KiB,
  /** A signed token with its claims. */
  authBytes: 8 * KiB,
  tokenChars: 4 * KiB,
  /** OPEN with all request headers: what Node and Workers accept from a client, twice over. */
  openBytes: 32 * KiB,
  headBytes: 32 * KiB,
  /** END carries a count and one sentence. */
  endBytes: 4 * KiB,
  /** RESET's text: a sentence for people. */
  resetTextBytes: 256,
  /** One count with its ticket. */
  usageBytes: 4 * KiB,
  /** `usageAckIds` request ids, each character written as six. */
  usageAckBytes: 64 * KiB,
  usageAckIds: 64,
  goawayBytes: 4 * KiB,
  statusBytes: 4 * KiB,
  /** Live streams named in one SYNC: eight connections' worth. */
  syncIds: 2048,
  requestIdChars: 128,
  /** OPEN's ticket: a signed record of what a request is billed to. */
  ticketChars: 1024,
  /** The longest time that a request may be given. */
  deadlineMs: 24 * 60 * 60 * 1000,
  /** Path and query together. */
  pathChars: 4 * KiB,
  /** Names and values, so that a parsed head stays as small as its frame. */
  headerCount: 128,
  /** Request body: a long prompt is well below 1 MiB; images as base64 need the rest. */
  bodyBytes: 32 * MiB,
  /** Streams open at once per connection. */
  streams: 256,
  /** Served model names in one HELLO. */
  models: 256,
  modelNameChars: 256,
  /** Connections of one backend: `connectionIndex` is below this. */
  connections: 4,
  /** Exposed HTTP services in one HELLO. */
  services: 32,
  /** A service's name is a host label. */
  serviceNameChars: 63,
  capabilities: 32,
  capabilityChars: 64,
  /** Initial credit for a request body, per stream. */
  requestWindowBytes: 256 * KiB,
  /** Initial credit for a response body: at 100 tokens/s of 250 B each, 2.6 s of stream. */
  responseWindowBytes: 64 * KiB,
  /** A window smaller than one DATA frame stalls; a larger one than this is a memory attack. */
  minWindowBytes: 16 * KiB,
  maxWindowBytes: 16 * MiB,
  /** A stream's window grows to this where the reader keeps up: 100 ms at 10 MB/s. */
  grownWindowBytes: 1 * MiB,
  /** Initial credit for all request bodies of a connection together. */
  requestConnectionWindowBytes: 16 * MiB,
  /** Initial credit for all response bodies: a full house of initial windows, twice over. */
  responseConnectionWindowBytes: 32 * MiB,
  maxConnectionWindowBytes: 256 * MiB,
  /** Credit never exceeds this, so that it stays an exact 31-bit number in any language. */
  maxCreditBytes: 2 ** 31 - 1,
  /** Control frames waiting for a peer that does not read: more than 10,000 PONGs. */
  controlBacklogBytes: 256 * KiB,
  /** Above this the transport is full: frames wait in our queues, where control goes first. */
  transportHighWaterBytes: 1 * MiB,
  /** A backend that resets more accepted streams than this within `resetWindowMs`, and most of them, is closed. */
  resets: 100,
  /** Stream ids are odd and below 2^31; then a new connection is needed. */
  maxStreamId: 2 ** 31 - 1,
} as const

/** Times in ms. */
export type Timing = {
  /** From the upgrade to HELLO, and from HELLO to WELCOME. */
  readonly handshakeMs: number
  /** The backend's PING, ±20 %, while no stream is open. */
  readonly pingMs: number
  /** The backend's PING, ±20 %, while streams are open: well inside `busySilenceMs`. */
  readonly busyPingMs: number
  /** No byte from the peer for so long: the connection is dead. Two PINGs may be lost. */
  readonly idleSilenceMs: number
  /** The same while streams are open: people wait. */
  readonly busySilenceMs: number
  /** Bytes wait in the transport and none left it for so long. Size alone kills nobody. */
  readonly stallMs: number
  /** How often the clocks above are looked at. */
  readonly tickMs: number
  /** The gateway waits so long for a cancelled exchange's END before it gives up the count. */
  readonly cancelMs: number
  /** The backend waits so long for its handler and the final count; less than `cancelMs`. */
  readonly settleMs: number
  /** How often a running stream's count is sent while it changes. */
  readonly usageMs: number
  /** The least time between two STATUS, those after an END apart. */
  readonly statusMs: number
  /** How often an end with streams names them in SYNC. */
  readonly syncMs: number
  /** The span over which resets are counted. */
  readonly resetWindowMs: number
}

export const defaultTiming: Timing = {
  handshakeMs: 10_000,
  pingMs: 10_000,
  busyPingMs: 4_000,
  idleSilenceMs: 25_000,
  busySilenceMs: 12_000,
  stallMs: 30_000,
  tickMs: 1_000,
  cancelMs: 10_000,
  settleMs: 8_000,
  usageMs: 1_000,
  statusMs: 1_000,
  syncMs: 30_000,
  resetWindowMs: 10_000,
}
