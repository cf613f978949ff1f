/** How a backend shows its gateway who it is: with tokens of its own, or with the tunnel key. */
import { backendHeader, type TunnelKey } from '../../shared/auth/tunnel-key.ts'
import type { TokenMint } from './token.ts'

export interface TunnelLogin {
  /** Of the upgrade request. */
  headers(): Promise<Readonly<Record<string, string>>>
  /** The answer to CHALLENGE; left out where none is expected. */
  readonly prove?: (nonce: Uint8Array, instanceId: string) => Promise<string>
  /** How to stay in; left out where nothing runs out. */
  readonly renewal?: Renewal
}

export type Renewal = {
  /** After how long a token is due to be followed by the next. */
  readonly everyMs: number
  token(): Promise<string>
}

/** Each token is followed by the next at half of its life: one that gets lost is made good in time. */
export const tokenLogin = (mint: TokenMint): TunnelLogin => ({
  headers: async () => ({ authorization: `Bearer ${await mint.mint()}` }),
  renewal: { everyMs: mint.lifetimeMs / 2, token: () => mint.mint() },
})

export const tunnelKeyLogin = (key: TunnelKey, backendName: string): TunnelLogin => ({
  headers: async () => ({ [backendHeader]: backendName }),
  prove: (nonce, instanceId) => key.prove({ nonce, backendName, instanceId }),
})
