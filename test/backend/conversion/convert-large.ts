// Converts the model of its first argument to its second in threads, and prints its peak memory in KiB.
import { readFileSync } from 'node:fs'
import { convertModel } from '../../../backend/conversion/convert.ts'

const [, , modelFolder = '', outFolder = ''] = process.argv
await convertModel(modelFolder, outFolder, { format: { dtype: 'auto', quantization: 'int4' } })
const status = readFileSync('/proc/self/status', 'utf8')
process.stdout.write(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? '')
