/** Shows how far a conversion is: a bar on a terminal, else a line from time to time. */
import { formatByteSize } from '../byte-size.ts'
import type { Progress } from './progress.ts'

export type ProgressStream = {
  readonly isTTY?: boolean
  write(text: string): unknown
}

const barWidth = 24
const intervalMs = { terminal: 100, lines: 10_000 }

/** `1:05:09`, or `5:09` below an hour. */
export const formatSeconds = (seconds: number): string => {
  const whole = Math.ceil(seconds)
  const minutes = Math.floor(whole / 60) % 60
  const hours = Math.floor(whole / 3600)
  const rest = String(whole % 60).padStart(2, '0')
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`
}

/** What is known after so many seconds of work. */
export const progressText = (
  { doneBytes, totalBytes, resumedBytes = 0 }: Progress,
  seconds: number,
): string => {
  const percent = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes)
  const size = `${percent}% of ${formatByteSize(totalBytes)}`
  // The first moments say nothing yet.
  const rate = seconds >= 1 ? (doneBytes - resumedBytes) / seconds : 0
  if (rate === 0) return size
  const left = formatSeconds((totalBytes - doneBytes) / rate)
  return `${size}, ${formatByteSize(Math.round(rate))}/s, ${left} left`
}

export class ProgressBar {
  readonly #stream: ProgressStream
  readonly #startMs = performance.now()
  #lastMs: number
  #width = 0

  constructor(stream: ProgressStream) {
    this.#stream = stream
    // On a terminal at once; a line only when it takes long.
    this.#lastMs = stream.isTTY === true ? -Infinity : this.#startMs
  }

  update(progress: Progress): void {
    const nowMs = performance.now()
    const isTerminal = this.#stream.isTTY === true
    const isOver = progress.doneBytes === progress.totalBytes
    const interval = isTerminal ? intervalMs.terminal : intervalMs.lines
    const isDue = nowMs - this.#lastMs >= interval
    if (!isDue && !(isOver && isTerminal)) return
    this.#lastMs = nowMs
    const text = progressText(progress, (nowMs - this.#startMs) / 1000)
    if (!isTerminal) {
      this.#stream.write(`${text}\n`)
      return
    }
    const done = Math.floor((barWidth * progress.doneBytes) / Math.max(1, progress.totalBytes))
    const bar = '█'.repeat(done) + '░'.repeat(barWidth - done)
    const line = `${bar} ${text}`
    this.#stream.write(`\r${line.padEnd(this.#width)}`)
    this.#width = line.length
  }

  /** What is written next begins a line. */
  end(): void {
    if (this.#stream.isTTY === true && this.#width > 0) this.#stream.write('\n')
    this.#width = 0
  }
}
