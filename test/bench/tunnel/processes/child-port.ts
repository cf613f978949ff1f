/** The child's half of `BenchProcess`: settings in, one ready message out, gone with its parent. */
import { resources } from '../resources.ts'

/** Asks a child for what it holds. */
export const resourcesQuestion = 'resources'

/** What the parent gave this process, which from now on tells what it holds when it is asked. */
export const childSettings = <Settings>(): Settings => {
  process.once('disconnect', () => process.exit(0))
  process.on('message', (message) => {
    if (message === resourcesQuestion) void resources().then((held) => process.send?.(held))
  })
  return JSON.parse(process.argv[2] ?? '{}')
}

/** Tells the parent that this process is ready, with what it needs to know. */
export const ready = (details: object): void => {
  process.send?.({ ready: details })
}
