import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openPepper } from '../../../gateway/auth/pepper.ts'
import { tempFolder } from '../../support/temp-folder.ts'

test('the pepper is made once, for its owner alone', async () => {
  const folder = tempFolder()
  const file = join(folder, 'pepper')
  const pepper = await openPepper(file)

  expect(pepper.key.symmetricKeySize).toBe(32)
  const again = await openPepper(file)
  expect([again.version, again.key.equals(pepper.key)]).toEqual([pepper.version, true])
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(await readdir(folder)).toEqual(['pepper'])
})

test('a pepper that others can read is refused with the cure', async () => {
  const file = join(tempFolder(), 'pepper')
  await openPepper(file)
  await chmod(file, 0o640)

  await expect(openPepper(file)).rejects.toThrow(`run chmod 600 ${file}`)
})

test('a damaged pepper is refused rather than replaced', async () => {
  const file = join(tempFolder(), 'pepper')
  await openPepper(file)
  const whole = await readFile(file, 'utf8')
  const flipped = whole.replace(/.\n$/, (end) => (end === '0\n' ? '1\n' : '0\n'))
  for (const damaged of ['', whole.slice(0, 40), `${whole}x`, flipped]) {
    await writeFile(file, damaged)
    await expect(openPepper(file)).rejects.toThrow(/is damaged: restore it/)
    expect(await readFile(file, 'utf8')).toBe(damaged)
  }
})
