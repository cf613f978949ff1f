/** Sending a request to a backend, and to another one where the first provably did not begin. */
import { TunnelError, type ErrorCode } from '../shared/tunnel/error.ts'
import type { Exchange, OpenRequest } from '../shared/tunnel/exchange.ts'
import type { ConnectedBackend } from './tunnel/backend-connection.ts'
import type { PickOptions, Router } from './tunnel/router.ts'

export type SendOptions = Pick<PickOptions, 'prefixes'> & {
  readonly router: Pick<Router, 'pick'>
  readonly model: string
  /** See `ConnectedBackend.open`. */
  readonly expectedTokens: number
  /** The request as it goes to this backend. `attempt` counts from 1. */
  readonly request: (backend: ConnectedBackend, attempt: number) => OpenRequest
  /** Cancels the request. */
  readonly signal: AbortSignal
}

/** A request that may run, or has run. */
export type Sent = { readonly backend: ConnectedBackend; readonly exchange: Exchange }

/** The first time and twice more: whoever is refused everywhere should come back later. */
const maxAttempts = 3

/** Refusals that another connection may not share. */
const worthAnother: readonly ErrorCode[] = ['REFUSED', 'OVERLOADED', 'DRAINING', 'CONNECTION_LOST']

/**
 * Resolves once a backend has answered, or has failed after it may have begun; null when no backend
 * can take the request. A request that may have run is never sent again.
 * @throws TunnelError of the last attempt when the request provably did not run anywhere
 */
export const sendRequest = async (options: SendOptions): Promise<Sent | null> => {
  const { router, model, prefixes, expectedTokens, request, signal } = options
  const tried = new Set<ConnectedBackend>()
  let failure: TunnelError | undefined
  while (tried.size < maxAttempts) {
    const backend = router.pick(model, { tried, ...(prefixes && { prefixes }) })
    if (!backend) break
    tried.add(backend)
    const exchange = backend.open(request(backend, tried.size), expectedTokens)
    cancelOn(signal, exchange)
    failure = await refusal(exchange)
    if (!failure) return { backend, exchange }
    if (signal.aborted || !worthAnother.includes(failure.code)) break
  }
  if (failure) throw failure
  return null
}

/** The failure of an exchange that provably did not run; undefined for all others. */
const refusal = (exchange: Exchange): Promise<TunnelError | undefined> =>
  exchange.head.then(
    () => undefined,
    (error: unknown) => (error instanceof TunnelError && !error.mayHaveRun ? error : undefined),
  )

/** Lasts until the exchange has settled. */
const cancelOn = (signal: AbortSignal, exchange: Exchange): void => {
  const cancel = () => exchange.cancel('the request was given up')
  if (signal.aborted) cancel()
  signal.addEventListener('abort', cancel)
  void exchange.settled.then(() => signal.removeEventListener('abort', cancel))
}
