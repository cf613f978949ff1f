// Preloaded (node --import) into a process whose engine is to be timed: notes each step of an engine thread, and how much
// of it ONNX Runtime took, in the memory that the main thread has prepared.
import { getEnvironmentData } from 'node:worker_threads'
import { StepLoop } from '../../../backend/engine/step-loop.ts'
import { Binding } from '../../../backend/onnxruntime/binding.ts'
import { stepTimesKey, stepTimesOf } from './step-times.ts'

const memory = getEnvironmentData(stepTimesKey)
// Only threads started after the memory was prepared have it.
if (memory instanceof SharedArrayBuffer) {
  const { counter, steps } = stepTimesOf(memory)
  let runMs = 0
  const run = Binding.prototype.run
  Binding.prototype.run = function timedRun() {
    const startedAt = performance.now()
    run.call(this)
    runMs += performance.now() - startedAt
  }
  const step = StepLoop.prototype.step
  StepLoop.prototype.step = function timedStep() {
    runMs = 0
    const startedAt = performance.now()
    const events = step.call(this)
    const endedAt = performance.now()
    const index = Atomics.add(counter, 0, 1)
    if (index < steps.length)
      steps.set(index, { startedAt, endedAt, runMs, numEvents: events.length })
    return events
  }
}
