/** Where a gateway on Workers serves the control API, behind its admin token. */
export const adminPath = '/admin'
