/** ONNX models of one operator, written to a folder of their own. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DataType } from '../../../backend/onnx/data-type.ts'
import { encodeModel, type Graph } from '../../../backend/onnx/model.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'

/** `y = x + w` over float32 of any length. */
export const addGraph: Graph = {
  name: 'add',
  nodes: [{ operator: 'Add', inputs: ['x', 'w'], outputs: ['y'] }],
  initializers: [],
  inputs: [
    { name: 'x', type: 'float32', dims: ['n'] },
    { name: 'w', type: 'float32', dims: ['n'] },
  ],
  outputs: [{ name: 'y', type: 'float32', dims: ['n'] }],
}

/** `y = x · x · …`, forty times: with a large x a run takes long. */
export const slowGraph: Graph = {
  name: 'slow',
  nodes: Array.from({ length: 40 }, (_, i) => ({
    operator: 'MatMul',
    inputs: [i === 0 ? 'x' : `y${i}`, 'x'],
    outputs: [i === 39 ? 'y' : `y${i + 1}`],
  })),
  initializers: [],
  inputs: [{ name: 'x', type: 'float32', dims: ['n', 'n'] }],
  outputs: [{ name: 'y', type: 'float32', dims: ['n', 'n'] }],
}

/** `y = x` as another type. */
export const castGraph = (from: DataType, to: DataType, number: number): Graph => ({
  name: 'cast',
  nodes: [{ operator: 'Cast', inputs: ['x'], outputs: ['y'], attributes: { to: { int: number } } }],
  initializers: [],
  inputs: [{ name: 'x', type: from, dims: ['n'] }],
  outputs: [{ name: 'y', type: to, dims: ['n'] }],
})

export class ModelFolder implements Disposable {
  readonly path = makeTempFolder()

  /** The path of the model's file. */
  write(graph: Graph): string {
    return this.writeBytes(`${graph.name}.onnx`, encodeModel(graph))
  }

  writeBytes(name: string, bytes: Uint8Array): string {
    const path = join(this.path, name)
    writeFileSync(path, bytes)
    return path
  }

  [Symbol.dispose](): void {
    removeFolder(this.path)
  }
}
