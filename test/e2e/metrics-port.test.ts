import { request } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { BurrowProcess, runBurrow } from '../support/burrow-process.ts'
import { parseScrape } from '../support/scraped.ts'
import { tempFolder } from '../support/temp-folder.ts'

const statusAs = (url: string, host: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const asked = request(url, { headers: { host }, agent: false }, (incoming) => {
      incoming.resume()
      resolve(incoming.statusCode)
    })
    asked.on('error', reject).end()
  })

test('--metrics-port serves a scraper on this machine, and nothing else', async () => {
  const home = tempFolder()
  const flags = ['gateway', '--port', '0', '--metrics-port', '0', '--home', home]
  const gateway = new BurrowProcess(flags)
  onTestFinished(() => gateway.kill())
  const [url] = await gateway.printed(/http:\S+\/metrics/)
  const response = await fetch(url)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  const { types } = parseScrape(await response.text())
  expect(types.get('burrow_tunnel_streams_total')).toBe('counter')
  expect((await fetch(new URL('/keys', url))).status).toBe(404)
  // What a web page could have a browser ask, whose name it made to point here.
  expect(await statusAs(url, 'rebound.example')).toBe(404)

  const { port } = new URL(url)
  const second = [...flags.slice(0, 3), '--metrics-port', port, '--home', tempFolder()]
  const { code, stderr } = await runBurrow(second)
  expect(code).toBe(1)
  expect(stderr).toMatch(/EADDRINUSE.+Choose another --metrics-port/)
  expect(await gateway.interrupt()).toBe(0)
})
