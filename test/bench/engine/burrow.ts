/** Burrow's engine as a system to be measured. */
import type { ParallelSizes } from '../../../backend/graph/shard-plan.ts'
import { measureInChild } from './child.ts'
import { conversionFolder, oneRank } from './models/converted-model.ts'
import type { Measured, Scenario } from './workload.ts'

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
export const measureBurrow =
  (model: string, { format, threads, parallel = oneRank }: BurrowOptions) =>
  (scenario: Scenario): Promise<Measured> => {
    const graphFolder = conversionFolder(model, format, parallel)
    const settings: BurrowSettings = { model, graphFolder, scenario, format, threads, parallel }
    return measureInChild<Measured>('measure-burrow.ts', settings)
  }
