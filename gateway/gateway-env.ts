/** What the middleware hands on to the handlers of a request. */
export type GatewayEnv = {
  Variables: {
    /** Our own id of the request, on the response as `x-request-id`. */
    requestId: string
    /** The client's id of it, for the log only. */
    clientRequestId: string | undefined
    /** The API key that was presented; set on authenticated routes. */
    key: { readonly id: string; readonly name: string }
  }
}
