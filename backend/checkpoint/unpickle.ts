/**
 * Reads a Python pickle without running anything: a global is only a name, which can be called if it
 * is one of the functions given. Knows the operations that PyTorch's own `_weights_only_unpickler.py`
 * knows, of protocol 2; every other one is an error. Lists and tuples become arrays, dictionaries
 * maps.
 */
import { PickleBytes } from './pickle-bytes.ts'

/** The name of something in a Python module, `module name`; it is never looked up. */
export class PickleGlobal {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

export type PickleRules = {
  /** Globals that may appear, by `module name`; null for those that are never called. */
  readonly globals: ReadonlyMap<string, ((args: readonly unknown[]) => unknown) | null>
  /** Resolves a reference to something outside the pickle. */
  readonly persistentLoad: (id: unknown) => unknown
}

/** Each may make one small object: this bounds the memory. A tensor takes some 25. */
const maxOperations = 500_000

const mark = Symbol('mark')

class Unpickler {
  readonly #bytes: PickleBytes
  readonly #rules: PickleRules
  readonly #stack: unknown[] = []
  readonly #memo = new Map<number, unknown>()

  constructor(bytes: Uint8Array, rules: PickleRules) {
    this.#bytes = new PickleBytes(bytes)
    this.#rules = rules
  }

  load(): unknown {
    for (let count = 0; count < maxOperations; count++) {
      const operation = this.#bytes.uint(1)
      if (operation === 0x2e) {
        const value = this.#pop()
        if (this.#stack.length > 0 || !this.#bytes.isAtEnd)
          throw new Error('it goes on after its end')
        return value
      }
      this.#run(operation)
    }
    throw new Error(`it has more than ${maxOperations} operations`)
  }

  /** The operations by the names of Python's pickletools. */
  #run(operation: number): void {
    const stack = this.#stack
    switch (operation) {
      case 0x80: // PROTO
        if (this.#bytes.uint(1) !== 2) throw new Error('only protocol 2 is supported')
        return
      case 0x28: // MARK
        stack.push(mark)
        return
      case 0x4e: // NONE
        stack.push(null)
        return
      case 0x88: // NEWTRUE
        stack.push(true)
        return
      case 0x89: // NEWFALSE
        stack.push(false)
        return
      case 0x4a: // BININT
        stack.push(this.#bytes.uint(4) | 0)
        return
      case 0x4b: // BININT1
        stack.push(this.#bytes.uint(1))
        return
      case 0x4d: // BININT2
        stack.push(this.#bytes.uint(2))
        return
      case 0x8a: // LONG1
        stack.push(this.#bytes.long(this.#bytes.uint(1)))
        return
      case 0x47: // BINFLOAT
        stack.push(this.#bytes.float64())
        return
      case 0x58: // BINUNICODE
        stack.push(this.#bytes.text(this.#bytes.uint(4)))
        return
      case 0x55: // SHORT_BINSTRING
        stack.push(this.#bytes.text(this.#bytes.uint(1)))
        return
      case 0x29: // EMPTY_TUPLE
      case 0x5d: // EMPTY_LIST
        stack.push([])
        return
      case 0x7d: // EMPTY_DICT
        stack.push(new Map())
        return
      case 0x74: // TUPLE
        stack.push(this.#popToMark())
        return
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        stack.push(this.#popMany(operation - 0x84))
        return
      case 0x61: // APPEND
        this.#append(this.#popMany(1))
        return
      case 0x65: // APPENDS
        this.#append(this.#popToMark())
        return
      case 0x73: // SETITEM
        this.#setItems(this.#popMany(2))
        return
      case 0x75: // SETITEMS
        this.#setItems(this.#popToMark())
        return
      case 0x71: // BINPUT
        this.#memo.set(this.#bytes.uint(1), this.#top())
        return
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#bytes.uint(4), this.#top())
        return
      case 0x68: // BINGET
        stack.push(this.#remembered(this.#bytes.uint(1)))
        return
      case 0x6a: // LONG_BINGET
        stack.push(this.#remembered(this.#bytes.uint(4)))
        return
      case 0x63: // GLOBAL
        stack.push(this.#global())
        return
      case 0x51: // BINPERSID
        stack.push(this.#rules.persistentLoad(this.#pop()))
        return
      case 0x52: // REDUCE
        this.#reduce()
        return
      case 0x62: // BUILD
        this.#build()
        return
      default:
        throw new Error(`operation 0x${operation.toString(16)} is not allowed`)
    }
  }

  #reduce(): void {
    const args = this.#pop()
    const callee = this.#pop()
    if (!(callee instanceof PickleGlobal)) throw new Error('it calls what is no function')
    const run = this.#rules.globals.get(callee.name)
    if (!run) throw new Error(`it calls ${callee.name}, which is not allowed`)
    if (!Array.isArray(args)) throw new Error(`it calls ${callee.name} without a list of arguments`)
    this.#stack.push(run(args))
  }

  /** Attributes of an OrderedDict are of no use here (`_metadata` of a state_dict). */
  #build(): void {
    this.#pop()
    if (!(this.#top() instanceof Map))
      throw new Error('it sets attributes of what is no dictionary')
  }

  #global(): PickleGlobal {
    const name = `${this.#bytes.line()} ${this.#bytes.line()}`
    if (this.#rules.globals.has(name)) return new PickleGlobal(name)
    throw new Error(`it uses ${JSON.stringify(name)}, which is not allowed`)
  }

  #append(items: readonly unknown[]): void {
    const list = this.#top()
    if (!Array.isArray(list)) throw new Error('it appends to what is no list')
    for (const item of items) list.push(item)
  }

  #setItems(items: readonly unknown[]): void {
    const dictionary = this.#top()
    if (!(dictionary instanceof Map)) throw new Error('it sets items of what is no dictionary')
    if (items.length % 2 !== 0) throw new Error('it sets a key without a value')
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]
      // Python's own rule is wider; as a map's key an array would be equal to no other.
      if (typeof key !== 'string' && typeof key !== 'number') throw new Error('it has an odd key')
      if (dictionary.has(key)) throw new Error(`it sets the key ${key} twice`)
      dictionary.set(key, items[i + 1])
    }
  }

  #remembered(index: number): unknown {
    const value = this.#memo.get(index)
    if (value === undefined) throw new Error(`it gets ${index}, which was never put`)
    return value
  }

  #top(): unknown {
    const value = this.#stack.at(-1)
    if (value === undefined || value === mark) throw new Error('its stack is empty')
    return value
  }

  #pop(): unknown {
    const value = this.#top()
    this.#stack.pop()
    return value
  }

  #popMany(count: number): unknown[] {
    return Array.from({ length: count }, () => this.#pop()).toReversed()
  }

  #popToMark(): unknown[] {
    const at = this.#stack.lastIndexOf(mark)
    if (at < 0) throw new Error('its stack has no mark')
    const items = this.#popMany(this.#stack.length - at - 1)
    this.#stack.pop()
    return items
  }
}

/** @throws Error for whatever is not allowed, damaged or too large */
export const unpickle = (bytes: Uint8Array, rules: PickleRules): unknown =>
  new Unpickler(bytes, rules).load()
