import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { tempFolder } from '../../support/temp-folder.ts'

test.each(['main', 'worker'])(
  'in the %s thread ONNX Runtime keeps no record of its use',
  (thread) => {
    const home = tempFolder()
    const program = fileURLToPath(new URL('./environment-thread.ts', import.meta.url))
    const { ORT_DISABLE_TELEMETRY: _, XDG_CACHE_HOME: __, ...env } = process.env
    execFileSync(process.execPath, [program, thread], { env: { ...env, HOME: home } })
    expect(readdirSync(home)).toEqual([])
  },
)
