/** The Worker with answers that lose patience sooner: for tests of what they do then. */
import { Hub as PatientHub, type HubTimes } from '../../../gateway/workers/hub.ts'
import { defaultTiming } from '../../../shared/tunnel/limits.ts'

export { default } from '../../../gateway/worker.ts'

export class Hub extends PatientHub {
  protected override times(): HubTimes {
    return {
      tunnel: defaultTiming,
      answer: { headMs: 150, keepAliveMs: 150, stallMs: 5_000 },
    }
  }
}
