import { expect, onTestFinished, test } from 'vitest'
import { createStepMarks, StepMarks, StepWatch } from '../../../backend/engine/step-watch.ts'

/** Looks only when it is told to. */
const watched = () => {
  const memory = createStepMarks()
  let numStuck = 0
  const watch = new StepWatch(memory, 1e12, () => numStuck++)
  onTestFinished(() => watch.close())
  const look = (times: number): number => {
    for (let i = 0; i < times; i++) watch.look()
    return numStuck
  }
  return { marks: new StepMarks(memory), look }
}

test('a step that ten looks in a row find again is stuck, and told once', () => {
  const { marks, look } = watched()
  marks.next()
  expect(look(10)).toBe(0)
  expect(look(1)).toBe(1)
})

test('steps that end are not, however long there are some', () => {
  const { marks, look } = watched()
  for (let step = 0; step < 100; step++) {
    marks.next()
    expect(look(9)).toBe(0)
    marks.next()
  }
  // Nothing to do, for as long as it pleases.
  expect(look(1_000)).toBe(0)
})

test('nor is one after another that the looks find in the middle', () => {
  const { marks, look } = watched()
  marks.next()
  for (let step = 0; step < 100; step++) {
    expect(look(1)).toBe(0)
    marks.next()
    marks.next()
  }
  expect(look(10)).toBe(0)
  expect(look(1)).toBe(1)
})
