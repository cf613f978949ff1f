// Converts the model folder of its first argument to its second, and prints the fingerprint.
import { convertModel } from '../../../backend/graph/convert.ts'

const [, , modelFolder = '', outFolder = ''] = process.argv
const manifest = await convertModel(modelFolder, outFolder)
process.stdout.write(manifest.fingerprint)
