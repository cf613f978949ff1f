/** node-llama-cpp as a system to be measured. */
import { SystemProcess } from '../system-process.ts'
import type { Scenario } from '../workload.ts'

/** What can be tuned. */
export type PeerTuning = {
  readonly flashAttention: boolean
  readonly batchSize: number
  readonly threads: number
  readonly useMmap: boolean
  /** Of the C library's memory allocation: by default it asks for none. */
  readonly hugePages: boolean
}

export type PeerSettings = Omit<PeerTuning, 'hugePages'> & {
  readonly model: string
  readonly scenario: Scenario
}

/** @param model a GGUF file */
export const startPeerProcess =
  (model: string, { hugePages, ...tuning }: PeerTuning) =>
  (scenario: Scenario): Promise<SystemProcess> => {
    const settings: PeerSettings = { model, scenario, ...tuning }
    const env = { GLIBC_TUNABLES: `glibc.malloc.hugetlb=${hugePages ? 1 : 0}` }
    return SystemProcess.start('peer/measure-peer.ts', settings, { env })
  }
