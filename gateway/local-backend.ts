/** The backend that `burrow up` runs on the same machine: a child process, restarted when it dies. */
import { spawn, type ChildProcess } from 'node:child_process'
import type { Log } from '../shared/log.ts'

export type LocalBackendOptions = {
  /** The program, and what precedes its flags. */
  readonly command: readonly [string, ...string[]]
  /** Its flags, without the dashes. */
  readonly flags: Readonly<Record<string, string>>
  /** Added to the environment: the enrolment secret, never an argument that `ps` shows. */
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
/** The same where nobody wants to wait: its last counts are under way. */
const hurryGraceMs = 5_000

/** What the child says over its IPC channel: it is connected, or why it ends. */
export type FromLocalBackend =
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly reason: string }
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
  readonly #ready = Promise.withResolvers<void>()

  constructor(options: LocalBackendOptions) {
    this.#options = options
    this.#backoffMs = options.firstBackoffMs ?? 500
    this.ready = this.#ready.promise
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

  /** A `close`, begun before or after, waits no longer than a few seconds from now. */
  hurry(): void {
    const kill = setTimeout(() => this.#child?.kill('SIGKILL'), hurryGraceMs)
    this.#child?.once('exit', () => clearTimeout(kill))
  }

  #spawn(): void {
    const { command, flags } = this.#options
    const [program, ...args] = command
    // In one piece: a value may begin with a dash.
    for (const [name, value] of Object.entries(flags)) args.push(`--${name}=${value}`)
    const startedAt = performance.now()
    const child = spawn(program, args, {
      env: { ...process.env, ...this.#options.env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child = child
    let failure: string | undefined
    child.on('message', (message: FromLocalBackend) => {
      if (message.type === 'failed') failure = message.reason
      if (message.type === 'ready') {
        this.#hasBeenReady = true
        this.#ready.resolve()
      }
    })
    const ended = (reason: string) => {
      this.#child = null
      this.#onExit(reason, performance.now() - startedAt)
    }
    child.on('error', (error) => {
      // Only a program that could not be started never exits; all else is told by 'exit'.
      if (child.pid === undefined) ended(error.message)
    })
    child.on('exit', (code, signal) => ended(failure ?? signal ?? `code ${code}`))
  }

  #onExit(reason: string, livedMs: number): void {
    if (this.#isClosing) return
    if (!this.#hasBeenReady) {
      this.#ready.reject(new Error(`the backend could not start: ${reason}`))
      return
    }
    if (livedMs >= healthyAfterMs) this.#backoffMs = this.#options.firstBackoffMs ?? 500
    this.#options.log.warn('backend process ended', { reason, restartInMs: this.#backoffMs })
    this.#restartTimer = setTimeout(() => this.#spawn(), this.#backoffMs)
    this.#backoffMs = Math.min(maxBackoffMs, this.#backoffMs * 2)
  }
}
