import { expect, test } from 'vitest'
import { noStats } from '../../backend/engine/generation.ts'
import { backendStatus } from '../../backend/status.ts'

const stats = () => ({
  ...noStats,
  running: 3,
  waiting: 2,
  tokensInFlight: 900,
  kvCacheFree: 0.25,
  generatedTokens: 7,
})

test('STATUS says what the engine has to do', () => {
  const options = { engine: { state: 'ok' as const, stats }, weight: 2, isDraining: () => false }
  const status = { running: 3, waiting: 2, tokensInFlight: 900, kvCacheFree: 0.25, weight: 2 }
  expect(backendStatus(options)).toEqual(status)
  expect(backendStatus({ ...options, isDraining: () => true })).toEqual({
    ...status,
    draining: true,
  })
})

test('an engine that is started again asks for no requests', () => {
  const engine = { state: 'recovering' as const, stats }
  expect(backendStatus({ engine, weight: 2, isDraining: () => false })).toMatchObject({ weight: 0 })
})
