/** Where requests can go: what the API needs of the registry. */
import type { ConnectedBackend } from './backend-connection.ts'

/** What helps to find the best place for a request. */
export type PickOptions = {
  /** Of its prompt, the longest first. Asked only where there is a choice. */
  readonly prefixes?: () => readonly number[]
  /** Where it was sent before, and did not run. */
  readonly tried?: ReadonlySet<ConnectedBackend>
}

export interface Router {
  /**
   * The best connection for a request of the model; null when none can take it. Whether that is for
   * want of room, or because nobody has the model, `serves` says.
   */
  pick(model: string, options?: PickOptions): ConnectedBackend | null
  /** Whether a connected backend has the model, busy or draining ones too. */
  serves(model: string): boolean
  backends(): readonly ConnectedBackend[]
}
