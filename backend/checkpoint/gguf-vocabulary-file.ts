/** A GGUF file's metadata as a GGUF file of its own, without tensors: what a converted model keeps of it. */
import { readGgufHeader } from './gguf-header.ts'
import { RangeFile } from './range-file.ts'

/** Beside the weights of a model that was converted from a GGUF file. */
export const vocabularyFile = 'vocabulary.gguf'

/** Where the header counts the tensors, in 8 bytes. */
const tensorCountOffset = 8

/** Tensors would begin at a multiple of it. */
const defaultAlignment = 32

/** @param path of a GGUF file. @throws ModelFolderError */
export const ggufVocabularyFile = (path: string): Promise<Uint8Array> =>
  RangeFile.openFor(path, async (file) => {
    const { metadata, metadataBytes } = await readGgufHeader(file)
    const alignment = metadata.index('general.alignment') ?? defaultAlignment
    const bytes = new Uint8Array(Math.ceil(metadataBytes / alignment) * alignment)
    bytes.set(await file.read(0, metadataBytes))
    bytes.fill(0, tensorCountOffset, tensorCountOffset + 8)
    await file.close()
    return bytes
  })
