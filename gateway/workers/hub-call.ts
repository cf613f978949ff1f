/** How the Worker asks its hub: a request, and the door that it came through. */
import { ApiError } from '../../shared/errors.ts'
import type { Bindings } from './bindings.ts'

const doors = ['api', 'admin', 'tunnel'] as const

/** `admin`: the admin token was right. `tunnel`: the request asks for a tunnel, and may have one. */
export type Door = (typeof doors)[number]

/** Set on every request to the hub, over whatever a client wrote there. */
const doorHeader = 'x-burrow-door'

/** All backends of a gateway and all its requests meet in one object. */
const hubName = 'hub'

/** @throws ApiError when the hub cannot be asked, or broke off before it answered */
export const askHub = async (
  { HUB }: Pick<Bindings, 'HUB'>,
  request: Request,
  door: Door,
): Promise<Response> => {
  const headers = new Headers(request.headers)
  headers.set(doorHeader, door)
  try {
    return await HUB.getByName(hubName).fetch(new Request(request, { headers }))
  } catch (error) {
    throw explainHubFailure(error)
  }
}

/** Nobody but the Worker can reach the hub. */
export const doorOf = (request: Request): Door => {
  const name = request.headers.get(doorHeader)
  const door = doors.find((known) => known === name)
  if (!door) throw new Error(`a request to the hub through no known door: ${name}`)
  return door
}

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
