/** How the Worker asks its hub: a request, and what the Worker has found out about it. */
import { ApiError } from '../../shared/errors.ts'
import type { BackendIdentity } from '../tunnel/registry.ts'
import type { Bindings } from './bindings.ts'

/** Which door a request came through, and as whom. */
export type HubCall =
  | { readonly to: 'api' }
  /** The admin token was right. */
  | { readonly to: 'admin' }
  /** The backend's token was right. */
  | { readonly to: 'tunnel'; readonly backend: BackendIdentity }

/** Set on every request to the hub, over whatever a client wrote there. */
const callHeader = 'x-burrow-hub-call'

/** All backends of a gateway and all its requests meet in one object. */
const hubName = 'hub'

/** @throws ApiError when the hub cannot be asked, or broke off before it answered */
export const callHub = async (
  { HUB }: Pick<Bindings, 'HUB'>,
  request: Request,
  call: HubCall,
): Promise<Response> => {
  const headers = new Headers(request.headers)
  headers.set(callHeader, encodeURIComponent(JSON.stringify(call)))
  try {
    return await HUB.getByName(hubName).fetch(new Request(request, { headers }))
  } catch (error) {
    throw explainHubFailure(error)
  }
}

/** The call that a request to the hub carries: nobody but the Worker can reach the hub. */
export const readHubCall = (request: Request): HubCall =>
  JSON.parse(decodeURIComponent(request.headers.get(callHeader) ?? ''))

/**
 * An overloaded object refuses what it has not begun. After any other failure (it was restarted, or
 * has crashed) the request may have run.
 */
const explainHubFailure = (error: unknown): ApiError => {
  if (error instanceof Error && 'overloaded' in error && error.overloaded === true) {
    return new ApiError(503, 'The gateway is overloaded. Please try again in a moment.', {
      type: 'service_unavailable_error',
      code: 'server_is_overloaded',
      retryAfterSeconds: 1,
      cause: error,
    })
  }
  return new ApiError(502, 'The gateway was restarted during the request.', {
    code: 'gateway_restarted',
    shouldRetry: false,
    cause: error,
  })
}
