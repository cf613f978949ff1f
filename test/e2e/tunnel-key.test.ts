import { afterAll, beforeAll, expect, test } from 'vitest'
import { BurrowProcess, runBurrow, runJson } from '../support/burrow-process.ts'
import { makeTempFolder, removeFolder } from '../support/temp-folder.ts'

const key = 'the-first-key-of-32-characters-00'
const newKey = 'the-other-key-of-32-characters-00'
const home = makeTempFolder()
let gateway: BurrowProcess
let url: string

beforeAll(async () => {
  gateway = new BurrowProcess(['gateway', '--port', '0', '--home', home], {
    BURROW_TUNNEL_KEY: `${newKey},${key}`,
  })
  url = (await gateway.printed(/tunnel (ws:\S+)/))[1] ?? ''
})
afterAll(async () => {
  await gateway.interrupt()
  removeFolder(home)
})

test('a backend that was not enrolled serves with the tunnel key, and no output shows it', async () => {
  const backend = new BurrowProcess(
    ['backend', '--gateway', url, '--home', home, '--name', 'rented-1'],
    { BURROW_TUNNEL_KEY: key, https_proxy: 'http://user:password@127.0.0.1:1' },
  )
  await backend.printed(/tunnel connected/)
  const listed = await runBurrow(['backends', 'list', '--home', home])
  expect(listed.stdout).toMatch(/be_\w+ +rented-1 +tunnel key +\S+ +connected +any +burrow-tiny\n/)
  expect(await backend.interrupt()).toBe(0)
  expect([backend.output, gateway.output, listed.stdout].join()).not.toMatch(
    new RegExp(`${key}|${newKey}|password`),
  )
})

test('a backend is enrolled for some models, and told of any other that it brings', async () => {
  const scope = ['--model', 'tiger', '--model', 'lion']
  const {
    id,
    token,
    scope: listed,
  } = await runJson(['backends', 'enroll', '--name', 'box', ...scope, '--home', home])
  expect(listed).toEqual(['tiger', 'lion'])
  const { stdout } = await runBurrow(['backends', 'list', '--home', home])
  expect(stdout).toMatch(new RegExp(`${id} +box +…\\w{4} +\\S+ +away +tiger, lion\\n`))
  const backend = new BurrowProcess(['backend', '--gateway', url, '--home', home], {
    BURROW_TOKEN: token,
  })
  await backend.printed(/this backend may not serve .*burrow-tiny/)
  await backend.interrupt()
  expect(backend.output + gateway.output).not.toContain(token)
})
