#!/usr/bin/env node
// Plain JavaScript that any Node can read: it checks the version, then hands over to burrow.ts.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major > 24 || (major === 24 && minor >= 12)) {
  const { keepCompiled } = await import('./compile-cache.js')
  keepCompiled()
  await import('./burrow.ts')
} else {
  console.error(
    `burrow: Node ${process.versions.node} is too old; 24.12 or newer is needed. ` +
      '`npm install` brings one along: start by `npm start` or `npm run burrow -- …`, or install Node 24.',
  )
  process.exitCode = 1
}
