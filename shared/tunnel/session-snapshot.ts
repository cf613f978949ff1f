/** What a gateway's session must remember while a runtime sleeps between two requests: plain JSON. */
import type { Status } from './control-message.ts'
import type { Hello } from './hello.ts'

export type SessionSnapshot = {
  readonly hello: Hello
  readonly status?: Status
  readonly maxStreams: number
  readonly windowBytes: number
  readonly connectionWindowBytes: number
  readonly lastStreamId: number
  /** Connection credit for request bodies that is left to this end. */
  readonly sendCreditBytes: number
  /** Connection credit for response bodies that is left to the backend. */
  readonly receiveCreditBytes: number
  readonly isDraining: boolean
}
