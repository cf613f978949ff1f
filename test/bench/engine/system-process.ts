/** A system under test, alive in a process of its own, which does nothing until it has its turn. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { startChild, type ChildOptions } from './child.ts'
import { watchDisturbance } from './disturbance.ts'
import type { Memory } from './process-memory.ts'
import type { Answered, Asked, Loaded } from './take-turns.ts'
import type { Work } from './workload.ts'

export type Turn = {
  /** Tokens a second. */
  readonly speed: number
  /** Whether others computed meanwhile. */
  readonly isDisturbed: boolean
}

export class SystemProcess {
  readonly loaded: Loaded
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, loaded: Loaded) {
    this.#child = child
    this.loaded = loaded
  }

  /**
   * Returns when it has loaded.
   * @param script that calls takeTurns
   * @throws when it ends before
   */
  static async start(
    script: string,
    settings: object,
    options: ChildOptions = {},
  ): Promise<SystemProcess> {
    const child = startChild(script, settings, options)
    return new SystemProcess(child, await answerOf<Loaded>(child))
  }

  async take(work: Work): Promise<Turn> {
    const wasDisturbed = watchDisturbance(this.#child.pid ?? process.pid)
    const speed = await this.#ask<number>({ work })
    return { speed, isDisturbed: wasDisturbed() }
  }

  memory(): Promise<Memory> {
    return this.#ask('memory')
  }

  async close(): Promise<void> {
    const exit = once(this.#child, 'exit')
    this.#child.send('close' satisfies Asked)
    await exit
  }

  #ask<Answer extends Answered>(asked: Asked): Promise<Answer> {
    const answer = answerOf<Answer>(this.#child)
    this.#child.send(asked)
    return answer
  }
}

const answerOf = async <Answer extends Answered>(child: ChildProcess): Promise<Answer> => {
  const done = new AbortController()
  const { signal } = done
  try {
    // An error is one of starting it, or of asking one that has ended.
    const ended = once(child, 'exit', { signal }).then(([code]): never => {
      throw new Error(`a system's process ended with ${code}`)
    })
    const [answer] = await Promise.race([once(child, 'message', { signal }), ended])
    return answer
  } finally {
    done.abort()
  }
}
