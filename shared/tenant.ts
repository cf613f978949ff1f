/** How the gateway tells a backend whose request it is. */

/**
 * The tenant's opaque id. The gateway sets it itself and takes it from no client; a backend keeps what
 * it caches for different tenants apart. Without it all requests are of one tenant.
 */
export const tenantHeader = 'x-burrow-tenant'
