/** The side of turns that is inside a system's process; system-process.ts is the other one. */
import { processMemory, type Memory } from './process-memory.ts'
import { firstToken, works, type System, type Work } from './workload.ts'

/** What the process tells when it has loaded. */
export type Loaded = {
  /** From the first call of the system's API until it is ready for prompts. */
  readonly loadMs: number
  /** From the start of the process. */
  readonly firstTokenMs: number
  readonly memory: Memory
}

/** `close` is answered by the end of the process. */
export type Asked = { readonly work: Work } | 'memory' | 'close'
export type Answered = Loaded | number | Memory

const tell = (answer: Answered): void => void process.send?.(answer)

/** Loads the system, and does what it is asked until it is told to close. */
export const takeTurns = async (load: () => Promise<System>): Promise<void> => {
  const startedAt = performance.now()
  const system = await load()
  const loadMs = performance.now() - startedAt
  const memory = processMemory()
  await firstToken(system)
  const closed = Promise.withResolvers<void>()
  const answer = async (asked: Asked): Promise<void> => {
    if (asked === 'close') return system.close().then(closed.resolve)
    if (asked === 'memory') return tell(processMemory())
    // Threads that slept while others had their turns are awake after it.
    await firstToken(system)
    tell(await works[asked.work](system))
  }
  // Who waits for questions does not end.
  process.channel?.ref()
  process.on('message', (asked: Asked) => void answer(asked).catch(closed.reject))
  tell({ loadMs, firstTokenMs: performance.now(), memory })
  await closed.promise
  process.channel?.unref()
}
