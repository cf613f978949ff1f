import type { D1Migration } from 'cloudflare:test'
import type * as Main from '../../../gateway/worker.ts'
import type { Bindings } from '../../../gateway/workers/bindings.ts'

declare global {
  namespace Cloudflare {
    interface Env extends Bindings {
      readonly TEST_MIGRATIONS: D1Migration[]
    }
    interface GlobalProps {
      mainModule: typeof Main
    }
  }
}
