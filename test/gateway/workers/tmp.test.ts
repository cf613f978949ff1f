import { test } from 'vitest'
test('turns', async () => {
  for (const [name, soon] of Object.entries({
    immediate: (f: () => void) => (globalThis as any).setImmediate(f), timeout: (f: () => void) => setTimeout(f, 0),
    channel: (() => { const { port1, port2 } = new MessageChannel(); const q: (() => void)[] = []; port1.onmessage = () => q.shift()?.(); (port1 as any).start?.(); return (f: () => void) => { q.push(f); port2.postMessage(0) } })(),
    wait: (f: () => void) => void scheduler.wait(0).then(f) })) {
    const t = Date.now(); const n = 500
    for (let i = 0; i < n; i++) await new Promise<void>((r) => soon(r))
    console.log(name, (Date.now() - t) / n, 'ms')
  }
})
