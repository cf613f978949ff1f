/** Memory that an engine thread notes its steps in and the main thread reads them from. */

/** By which worker threads find it in their environment data. */
export const stepTimesKey = 'burrow bench: step times'

export type StepTime = {
  readonly startedAt: number
  readonly endedAt: number
  /** What ONNX Runtime took of it. */
  readonly runMs: number
  readonly numEvents: number
}

const maxSteps = 4096
const fields = 4

export const stepTimesMemory = (): SharedArrayBuffer =>
  new SharedArrayBuffer(8 + maxSteps * fields * Float64Array.BYTES_PER_ELEMENT)

export const stepTimesOf = (memory: SharedArrayBuffer) => {
  const numbers = new Float64Array(memory, 8)
  return {
    /** Steps so far. */
    counter: new Int32Array(memory, 0, 1),
    steps: {
      length: maxSteps,
      set(index: number, { startedAt, endedAt, runMs, numEvents }: StepTime): void {
        numbers.set([startedAt, endedAt, runMs, numEvents], index * fields)
      },
      get(index: number): StepTime {
        const at = index * fields
        const [startedAt = 0, endedAt = 0, runMs = 0, numEvents = 0] = numbers.slice(
          at,
          at + fields,
        )
        return { startedAt, endedAt, runMs, numEvents }
      },
    },
  }
}
