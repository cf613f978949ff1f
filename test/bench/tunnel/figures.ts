/**
 * Named figures of the tunnel, each with its own processes on this machine:
 *
 *   node test/bench/tunnel/figures.ts [dead-peer] [slow-reader] [aborted-downloads] [reconnects] [storm]
 */
import { printTable } from '../engine/statistics.ts'
import { abortedDownloads } from './figures/aborted-downloads.ts'
import { deadPeer } from './figures/dead-peer.ts'
import { reconnects } from './figures/reconnects.ts'
import { slowReader } from './figures/slow-reader.ts'
import { storm } from './figures/storm.ts'

export type FigureRow = readonly [what: string, figure: string]

const figures: Readonly<Record<string, () => Promise<FigureRow[]>>> = {
  'dead-peer': deadPeer,
  'slow-reader': slowReader,
  'aborted-downloads': abortedDownloads,
  reconnects,
  storm,
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(figures)
for (const name of names) {
  const measure = figures[name]
  if (!measure) throw new Error(`the figures are ${Object.keys(figures).join(', ')}`)
  printTable([name, ''], await measure())
}
