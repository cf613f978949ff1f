/** The command line: starting, stopping, and every way to get it wrong. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bundledModelFolder } from '../../backend/config.ts'
import { BurrowProcess, childPids, runBurrow, runJson } from '../support/burrow-process.ts'
import { eventually } from '../support/eventually.ts'
import { RunningBurrow } from '../support/running-burrow.ts'
import { SseReader } from '../support/sse-reader.ts'
import { tempFolder } from '../support/temp-folder.ts'

const up = /Burrow is up: (\S+)\/v1 serves/

describe('burrow up', () => {
  test('Ctrl-C lets a running stream finish, ends the backend too, and exits 0', async () => {
    const home = tempFolder()
    const burrow = new BurrowProcess(['up', '--port', '0', '--home', home])
    const [, url = ''] = await burrow.printed(up)
    const [key] = await burrow.printed(/brw_\w+/)
    const [backend = 0] = childPids(burrow.child.pid ?? 0)
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({
        model: 'burrow-tiny',
        messages: [{ role: 'user', content: 'count from 1 to 100' }],
        temperature: 0,
        stream: true,
      }),
    })
    const reader = new SseReader(response)
    await reader.next()
    const exited = burrow.interrupt()
    await burrow.printed(/stopping/)
    await expect(fetch(`${url}/health`)).rejects.toThrow()
    expect((await reader.rest()).at(-1)).toBe('[DONE]')
    expect(await exited).toBe(0)
    expect(existsSync(`/proc/${backend}`)).toBe(false)
    expect(burrow.output).not.toMatch(/Error|\n\s+at /)
  })

  test('a second Ctrl-C cuts what runs, honestly, and it is in the books', async () => {
    const burrow = await RunningBurrow.start()
    const reader = new SseReader(await burrow.chatStream('count from 1 to 400'))
    await reader.next()
    const exited = burrow.process.interrupt()
    await burrow.process.printed(/stopping/)
    burrow.process.child.kill('SIGINT')
    const events = await reader.rest()
    expect(JSON.parse(events.at(-1) ?? '')).toMatchObject({ error: { code: 'gateway_draining' } })
    expect(await exited).toBe(0)
    const [record, ...more] = burrow.usage()
    expect(more).toEqual([])
    expect(record).toMatchObject({ outcome: 'cancelled', tokens_source: 'reported' })
    expect(record?.completion_tokens).toBeGreaterThanOrEqual(events.length)
    await burrow.stop()
  })

  test('goes on when nobody reads its output any more', async () => {
    const burrow = await RunningBurrow.start()
    burrow.process.child.stdout?.destroy()
    burrow.process.child.stderr?.destroy()
    for (let i = 0; i < 2; i++) {
      const response = await burrow.chatStream('3+5=?')
      expect((await new SseReader(response).rest()).at(-1)).toBe('[DONE]')
    }
    expect(await burrow.process.interrupt()).toBe(0)
    await burrow.stop()
  })

  test('a second start shows no key again, and the first key still works', async () => {
    const home = tempFolder()
    const first = new BurrowProcess(['up', '--port', '0', '--home', home])
    await first.printed(up)
    const [key] = await first.printed(/brw_\w+/)
    expect(await first.interrupt()).toBe(0)

    const second = new BurrowProcess(['up'], { BURROW_PORT: '0', BURROW_HOME: home })
    const [, url = ''] = await second.printed(up)
    await second.printed(/Ctrl-C/)
    expect(second.output).not.toContain('brw_')
    const response = await fetch(`${url}/v1/models`, {
      headers: { authorization: `Bearer ${key}` },
    })
    expect(response.status).toBe(200)
    expect(await second.interrupt()).toBe(0)
    expect(statSync(join(home, 'pepper')).mode & 0o777).toBe(0o600)
  })

  test('a backend whose parent was killed does not stay behind', async () => {
    const burrow = new BurrowProcess(['up', '--port', '0', '--home', tempFolder()])
    await burrow.printed(up)
    const [backend = 0] = childPids(burrow.child.pid ?? 0)
    await burrow.kill()
    await eventually(() => !existsSync(`/proc/${backend}`))
  })

  test('Ctrl-C while the model loads exits 0 as well', async () => {
    const burrow = new BurrowProcess(['up', '--port', '0', '--home', tempFolder()])
    await burrow.printed(/reading the model/)
    expect(await burrow.interrupt()).toBe(0)
  })

  test('serves a model folder of the user under its own name', async () => {
    const home = tempFolder()
    const model = join(tempFolder(), 'my-model')
    cpSync(bundledModelFolder, model, { recursive: true })
    const burrow = new BurrowProcess(['up', '--port', '0', '--home', home, '--model', model])
    const [, url = ''] = await burrow.printed(up)
    const [key] = await burrow.printed(/brw_\w+/)
    const response = await fetch(`${url}/v1/models`, {
      headers: { authorization: `Bearer ${key}` },
    })
    const text = await response.text()
    expect(JSON.parse(text).data[0]).toMatchObject({ id: 'my-model', root: 'my-model' })
    expect(text).not.toContain(model)
    expect(await burrow.interrupt()).toBe(0)
  })
})

describe('mistakes end with one clear line and exit code 1', () => {
  const lines = (stderr: string) => stderr.split('\n').filter((line) => line.startsWith('burrow:'))

  test('a taken port', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const address = other.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const { code, stderr } = await runBurrow(['up', '--port', `${port}`, '--home', tempFolder()])
    other.close()
    expect(code).toBe(1)
    expect(lines(stderr)).toEqual([expect.stringMatching(new RegExp(`${port}.*--port`))])
  })

  test.each([
    [['up', '--prot', '1'], /--prot/],
    [['up', '--port', 'http'], /--port/],
    [['up', '--port', '70000'], /--port/],
    [['up', '--model', '/nowhere'], /\/nowhere is no model folder/],
    [['up', '--served-model-name', 'a b'], /served model name/],
    [['up', '--port', '-1'], /--port/],
    [['up', 'now'], /now/],
    [['up', '--home', ''], /--home is empty/],
    [['backend', '--home', ''], /--home is empty/],
    [['keys', 'list', '--home='], /--home is empty/],
    [['shard', bundledModelFolder, '--out', ''], /--out is empty/],
    [['backend'], /--gateway.*token/],
    [['backend', '--gateway', 'ws://example.com/tunnel', '--token', 'brt_x'], /wss:\/\//],
    [['backend', '--gateway', 'http://127.0.0.1/', '--token', 'brt_x'], /wss:\/\//],
    [['dig'], /unknown command dig/],
    [['keys'], /create, list, revoke/],
    [['keys', 'create'], /--name/],
    [['keys', 'list', 'key_none'], /burrow keys takes/],
    [['keys', 'revoke', 'key_none'], /key_none/],
    [['backends', 'revoke'], /ID/],
  ])('burrow %j', async (args, message) => {
    const { code, stdout, stderr } = await runBurrow(args, { BURROW_HOME: tempFolder() })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr.split('\n')).toEqual([expect.stringMatching(message), ''])
  })

  test('a KV cache that does not fit, with the numbers', async () => {
    const flags = ['--max-num-seqs', '2', '--kv-cache-memory', '20M']
    const { code, stderr } = await runBurrow([
      'up',
      '--port',
      '0',
      '--home',
      tempFolder(),
      '--max-model-len',
      '2048',
      ...flags,
    ])
    expect(code).toBe(1)
    expect(lines(stderr)).toEqual([
      expect.stringMatching(/takes 24 MiB .*\(12 MiB for each .* is 20 MiB and fits 1/),
    ])
  })

  test.each([
    ['config.json', '{"architectures": ["GPT9"]}', /GPT9/],
    ['config.json', '{', /config\.json/],
    ['model.safetensors', 'no weights', /model\.safetensors/],
    ['tokenizer.json', '', /tokenizer\.json/],
  ])('a model folder whose %s is %j', async (file, content, message) => {
    const model = join(tempFolder(), 'broken')
    cpSync(bundledModelFolder, model, { recursive: true })
    writeFileSync(join(model, file), content)
    const { code, stderr } = await runBurrow([
      'up',
      '--port',
      '0',
      '--home',
      tempFolder(),
      '--model',
      model,
    ])
    expect(code).toBe(1)
    expect(lines(stderr)).toEqual([expect.stringMatching(message)])
    expect(stderr).not.toMatch(/\n\s+at /)
  })

  test.each([
    ['no directory', (home: string) => writeFileSync(home, ''), /cannot use \S+home: .*--home/],
    ['one that others can enter', (home: string) => mkdirSync(home, 0o755), /chmod 700/],
    [
      'one with a broken database',
      (home: string) => {
        mkdirSync(home, 0o700)
        writeFileSync(join(home, 'burrow.db'), 'no database'.repeat(100))
      },
      /cannot use the database \S+burrow\.db: /,
    ],
  ])('a data directory that is %s', async (_, make, message) => {
    const home = join(tempFolder(), 'home')
    make(home)
    for (const args of [
      ['gateway', '--port', '0'],
      ['keys', 'list'],
    ]) {
      const { code, stderr } = await runBurrow([...args, '--home', home])
      expect(code).toBe(1)
      expect(stderr.split('\n')).toEqual([expect.stringMatching(message), ''])
    }
  })

  test('a second gateway in the same data directory', async () => {
    const home = tempFolder()
    const first = new BurrowProcess(['gateway', '--port', '0', '--home', home])
    await first.printed(/gateway is up/)
    const { code, stderr } = await runBurrow(['gateway', '--port', '0', '--home', home])
    expect(code).toBe(1)
    expect(lines(stderr)).toEqual([expect.stringContaining('another gateway is running')])
    expect(await first.interrupt()).toBe(0)
  })
})

describe('keys and backends', () => {
  test('are managed without a running gateway', async () => {
    const home = tempFolder()
    const key = await runJson(['keys', 'create', '--name', 'alice', '--home', home])
    expect(key).toMatchObject({ id: expect.stringMatching(/^key_/), name: 'alice' })
    expect(key.key).toMatch(/^brw_\w{36}$/)
    const listed = await runBurrow(['keys', 'list', '--home', home])
    expect(listed.stdout).toContain('alice')
    expect(listed.stdout).not.toContain(key.key)
    await runJson(['keys', 'revoke', key.id, '--home', home])
    expect(await runJson(['keys', 'list', '--home', home])).toMatchObject([
      { id: key.id, revokedAt: expect.any(Number) },
    ])
    const backend = await runJson(['backends', 'enroll', '--name', 'box', '--home', home])
    expect(backend.token).toMatch(/^brt_/)
    expect(JSON.stringify(await runJson(['backends', 'list', '--home', home]))).not.toContain(
      backend.token,
    )
  })
})

test.each([[['--help']], [['up', '--help']], [[]]])('burrow %j tells the usage', async (args) => {
  expect(await runBurrow(args)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Usage: /),
  })
})

test('--version tells both versions', async () => {
  const { stdout } = await runBurrow(['--version'])
  expect(stdout).toMatch(/^burrow \d+\.\d+\.\d+, node 2[4-9]\./)
})

/** The first Node on the PATH that did not come with the install. */
const systemNode = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .map((folder) => join(folder, 'node'))
  .find((path) => existsSync(path) && realpathSync(path) !== realpathSync(process.execPath))

const systemVersion = systemNode
  ? execFileSync(systemNode, ['--version'], { encoding: 'utf8' })
  : ''
const isOld = /^v(\d|1\d|2[0-3])\./.test(systemVersion)

test.skipIf(!isOld)('a Node that is too old is told what to do', () => {
  const { status, stderr } = spawnSync(systemNode ?? '', ['burrow.js', 'up'], { encoding: 'utf8' })
  expect(status).toBe(1)
  expect(stderr).toMatch(/^burrow: Node \S+ is too old; 24\.12 or newer is needed.*npm start.*\n$/)
})
