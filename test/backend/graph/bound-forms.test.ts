import { expect, test } from 'vitest'
import { BoundForms, maxForms } from '../../../backend/graph/bound-forms.ts'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { addGraph, ModelFolder } from '../onnxruntime/small-models.ts'

/** Sums of the first n numbers, bound once for each n. */
const sums = () => {
  const folder = new ModelFolder()
  const environment = new Environment()
  const session = new Session(environment, folder.write(addGraph), { intraOpNumThreads: 1 })
  const [x, w, y] = [1, 2, 0].map((value) => new Float32Array(1000).fill(value))
  const bound: number[] = []
  const closed: number[] = []
  const forms = new BoundForms(environment, (n: number, tensor) => {
    bound.push(n)
    if (n > 1000) throw new Error('so many are not there')
    const [a, b, sum] = [x, w, y].map((data) => tensor(data!.subarray(0, n), [n]))
    const binding = session.bind({ x: a!, w: b! }, { y: sum! })
    const close = () => {
      closed.push(n)
      binding.close()
    }
    return [{ binding: { run: () => binding.run(), close } }]
  })
  const run = (n: number): void => {
    for (const { binding } of forms.of(`${n}`, n)) binding.run()
  }
  return {
    run,
    y: y!,
    bound,
    closed,
    [Symbol.dispose]: () => {
      environment.close()
      folder[Symbol.dispose]()
    },
  }
}

test('a form is bound once, and runs as often as it is asked for', () => {
  using made = sums()
  for (const n of [3, 5, 3, 3, 5]) made.run(n)
  expect([made.bound, made.closed]).toEqual([[3, 5], []])
  expect([...made.y.subarray(0, 6)]).toEqual([3, 3, 3, 3, 3, 0])
})

test('of too many forms the one that was not used for longest is closed', () => {
  using made = sums()
  for (let n = 1; n <= maxForms; n++) made.run(n)
  made.run(1)
  expect(made.closed).toEqual([])
  made.run(500)
  made.run(501)
  expect(made.closed).toEqual([2, 3])
  made.y.fill(0)
  made.run(1)
  made.run(2)
  expect(made.bound.slice(maxForms)).toEqual([500, 501, 2])
  expect([...made.y.subarray(0, 3)]).toEqual([3, 3, 0])
})

test('a form that cannot be bound fails, and leaves the others', () => {
  using made = sums()
  made.run(3)
  expect(() => made.run(2000)).toThrow('so many are not there')
  made.run(3)
  expect([made.bound, made.closed]).toEqual([[3, 2000], []])
})
