/** node-llama-cpp as a system to be measured. */
import { measureInChild } from '../child.ts'
import type { Measured, Scenario } from '../workload.ts'

/** What can be tuned. */
export type PeerTuning = {
  readonly flashAttention: boolean
  readonly batchSize: number
  readonly threads: number
  readonly useMmap: boolean
}

export type PeerSettings = PeerTuning & { readonly model: string; readonly scenario: Scenario }

/** @param model a GGUF file */
export const measurePeer =
  (model: string, tuning: PeerTuning) =>
  (scenario: Scenario): Promise<Measured> => {
    const settings: PeerSettings = { model, scenario, ...tuning }
    return measureInChild<Measured>('peer/measure-peer.ts', settings)
  }
