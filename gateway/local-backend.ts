/** The backend that `burrow up` runs on the same machine: a child process, restarted when it dies. */
import { spawn, type ChildProcess } from 'node:child_process'
import type { Log } from '../shared/log.ts'

export type LocalBackendOptions = {
  /** Program and arguments. */
  readonly command: readonly [string, ...string[]]
  /** Added to the environment: the backend token, never an argument that `ps` shows. */
  readonly env: Readonly<Record<string, string>>
  readonly log: Log
  /** First wait before a restart; it doubles up to 30 s. Default 500. */
  readonly firstBackoffMs?: number
}

const maxBackoffMs = 30_000
/** A child that lived this long was healthy: the next death starts the backoff anew. */
const healthyAfterMs = 30_000
/** After a request to drain, before the child is killed. */
const drainGraceMs = 35_000

/** What the child says over its IPC channel. */
export const readyMessage = 'ready'
/** What the child is told over it. */
export const drainMessage = 'drain'

export class LocalBackend {
  /**
   * Resolves when the child is connected for the first time; rejects when it ends before that, since
   * a backend that cannot start (a bad model folder, say) would not start the next time either.
   */
  readonly ready: Promise<void>
  readonly #options: LocalBackendOptions
  #child: ChildProcess | null = null
  #restartTimer: NodeJS.Timeout | null = null
  #backoffMs: number
  #hasBeenReady = false
  #isClosing = false
  #resolveReady: () => void = () => {}
  #rejectReady: (error: Error) => void = () => {}

  constructor(options: LocalBackendOptions) {
    this.#options = options
    this.#backoffMs = options.firstBackoffMs ?? 500
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    this.#spawn()
  }

  /** The running child's process id; null between two lives. */
  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  /** Asks the child to finish what runs and to end; kills it after a grace. Idempotent. */
  async close(): Promise<void> {
    this.#isClosing = true
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer)
    const child = this.#child
    if (child === null) return
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const killTimer = setTimeout(() => child.kill('SIGKILL'), drainGraceMs)
    if (child.connected) child.send(drainMessage)
    else child.kill('SIGTERM')
    await exited
    clearTimeout(killTimer)
  }

  #spawn(): void {
    const [program, ...args] = this.#options.command
    const startedAt = performance.now()
    const child = spawn(program, args, {
      env: { ...process.env, ...this.#options.env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child = child
    child.on('message', (message) => {
      if (message !== readyMessage) return
      this.#hasBeenReady = true
      this.#resolveReady()
    })
    child.on('error', (error) => this.#rejectReady(error))
    child.on('exit', (code, signal) => {
      this.#child = null
      this.#onExit(signal ?? `code ${code}`, performance.now() - startedAt)
    })
  }

  #onExit(reason: string, livedMs: number): void {
    if (this.#isClosing) return
    if (!this.#hasBeenReady) {
      this.#rejectReady(new Error(`the backend could not start (${reason})`))
      return
    }
    if (livedMs >= healthyAfterMs) this.#backoffMs = this.#options.firstBackoffMs ?? 500
    this.#options.log.warn('backend process ended', { reason, restartInMs: this.#backoffMs })
    this.#restartTimer = setTimeout(() => this.#spawn(), this.#backoffMs)
    this.#backoffMs = Math.min(maxBackoffMs, this.#backoffMs * 2)
  }
}
