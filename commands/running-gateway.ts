/** What `up` and `gateway` do alike with the gateway that runs. */
import type { Gateway } from '../gateway/node.ts'

/** Lets running requests finish, or cuts them once hurried; either way they are in the books. */
export const drain = async (gateway: Gateway, hurry: Promise<void>): Promise<void> => {
  void hurry.then(() => gateway.close())
  await gateway.drain()
}

/** Where a backend on this machine dials. */
export const tunnelUrl = (gateway: Gateway): string =>
  `${gateway.url.replace(/^http/, 'ws')}/tunnel`
