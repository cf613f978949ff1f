/** Burrow's engine as a system to be measured. */
import type { ParallelSizes } from '../../../backend/graph/shard-plan.ts'
import { conversionFolder, oneRank } from './models/converted-model.ts'
import { SystemProcess } from './system-process.ts'
import type { Scenario } from './workload.ts'

export type BurrowOptions = {
  /** See models/converted-model.ts. */
  readonly format: string
  readonly threads: number
  /** Default: one rank. */
  readonly parallel?: ParallelSizes
}

export type BurrowSettings = Required<BurrowOptions> & {
  readonly model: string
  readonly graphFolder: string
  readonly scenario: Scenario
}

/** @param model that has been converted in this format */
export const startBurrow =
  (model: string, { format, threads, parallel = oneRank }: BurrowOptions) =>
  (scenario: Scenario): Promise<SystemProcess> => {
    const graphFolder = conversionFolder(model, format, parallel)
    const settings: BurrowSettings = { model, graphFolder, scenario, format, threads, parallel }
    return SystemProcess.start('measure-burrow.ts', settings)
  }
