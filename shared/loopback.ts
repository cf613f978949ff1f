/** Addresses of this machine: over them a secret may travel unencrypted. */

/** @param hostname as in a `URL`: IPv6 in brackets */
export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
