import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { Credential } from '../../gateway/auth/credential.ts'
import { eventually } from '../support/eventually.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { dialBackend } from './dialled-backend.ts'
import { answering, chat, event, hanging, sse, textReader } from './forwarding.ts'
import type { KillableGateway } from './killable-gateway.ts'

const script = fileURLToPath(new URL('killable-gateway.ts', import.meta.url))

const start = async (...args: readonly string[]): Promise<[ChildProcess, KillableGateway]> => {
  const child = fork(script, args)
  onTestFinished(() => void child.kill('SIGKILL'))
  const [started] = await once(child, 'message')
  return [child, started]
}

test('a killed gateway frees the backends, which come back to the next one by themselves', async () => {
  const home = tempFolder()
  const [child, { url, key, token = '' }] = await start(home, '0', 'first')
  const { port } = new URL(url)
  const credential = Credential.parse('enrolmentSecret', token)
  if (!credential) throw new Error('no token')
  const stream = hanging(event('a'), sse)
  let handler = stream.handler
  await dialBackend({
    port: Number(port),
    token: credential,
    handler: (request, exchange) => handler(request, exchange),
  })
  const ask = () =>
    fetch(url + chat, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: 'tiger', stream: true }),
    })
  const reader = textReader(await ask())
  expect((await reader.read()).value).toBe(event('a'))
  const exited = once(child, 'exit')
  child.kill('SIGKILL')

  await expect(reader.read()).rejects.toThrow('terminated')
  await stream.cancelled
  handler = answering('{}')
  await exited
  await start(home, port)
  const answer = await eventually(async () => {
    const response = await ask()
    return response.status === 200 && response.text()
  })
  expect(answer).toBe('{}')
})
