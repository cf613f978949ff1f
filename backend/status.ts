/** What the gateway is told of how busy this backend is. */
import type { Status } from '../shared/tunnel/control-message.ts'
import type { Engine } from './engine/engine.ts'

export type StatusOptions = {
  readonly engine: Pick<Engine, 'state' | 'stats'>
  /** How much this backend can do beside others. */
  readonly weight: number
  readonly isDraining: () => boolean
}

/** STATUS of now. An engine that does not run asks for no requests as long as others can take them. */
export const backendStatus = ({ engine, weight, isDraining }: StatusOptions): Status => {
  const { running, waiting, tokensInFlight, kvCacheFree } = engine.stats()
  return {
    running,
    waiting,
    tokensInFlight,
    kvCacheFree,
    weight: engine.state === 'ok' ? weight : 0,
    ...(isDraining() && { draining: true }),
  }
}
