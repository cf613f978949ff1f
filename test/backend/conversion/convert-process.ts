// Converts the model folder of its first argument to its second, and prints the fingerprint. With a third
// argument it kills itself, as `kill -9` would, when so many pieces are done.
import { convertModel } from '../../../backend/conversion/convert.ts'
import { threadedPieces } from './small-pieces.ts'

const [, , modelFolder = '', outFolder = '', killAfter] = process.argv
let numPieces = 0
const manifest = await convertModel(modelFolder, outFolder, {
  ...(killAfter !== undefined && threadedPieces),
  onProgress: () => {
    numPieces += 1
    if (numPieces === Number(killAfter)) process.kill(process.pid, 'SIGKILL')
  },
})
process.stdout.write(manifest.fingerprint)
