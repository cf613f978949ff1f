import { expect, test } from 'vitest'
import { checkVersion, libraryPath, loadLibrary } from '../../../backend/onnxruntime/library.ts'

test('the library of each platform is where its package puts it', () => {
  const platforms = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64', 'win32-arm64']
  const paths = platforms.map((platform) => {
    const [os = '', arch = ''] = platform.split('-')
    return libraryPath(os, arch).replaceAll('\\', '/')
  })
  expect(paths).toEqual([
    'bin/napi-v6/linux/x64/libonnxruntime.so.1',
    'bin/napi-v6/linux/arm64/libonnxruntime.so.1',
    'bin/napi-v6/darwin/arm64/libonnxruntime.1.dylib',
    'bin/napi-v6/win32/x64/onnxruntime.dll',
    'bin/napi-v6/win32/arm64/onnxruntime.dll',
  ])
})

test('a platform without a library is told which ones have one', () => {
  expect(() => libraryPath('freebsd', 'x64')).toThrow(
    /no library for freebsd-x64; it runs on linux-x64, linux-arm64, darwin-arm64/,
  )
})

test.each(['1.29.2', '0.31.0', '2.0.0', 'nonsense', ''])('version %j is refused', (version) => {
  expect(() => checkVersion(version)).toThrow('1.30 or a later 1.x is needed: run npm install')
})

test.each(['1.30.0', '1.31.0-dev'])('version %j is taken', (version) => {
  expect(() => checkVersion(version)).not.toThrow()
})

test('the installed library loads, again and again', () => {
  const first = loadLibrary()
  expect(first.version).toMatch(/^1\.30\./)
  const again = loadLibrary()
  expect([again.version, again.api]).toEqual([first.version, first.api])
})
