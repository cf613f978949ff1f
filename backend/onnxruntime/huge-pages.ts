/**
 * Moves what the process holds into huge pages. For each token all weights are read from end to end, and where
 * they lie in pages of 4 KiB, a tenth of that time and more goes into looking pages up: in a virtual machine
 * each look-up is one in the host's tables too. The C library asks for huge pages only if its environment says
 * so when the process starts, and then also for memory that is never filled.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import koffi from 'koffi'

const hugeBytes = 2 << 20
const pageBytes = 4096

const sysFolder = '/sys/kernel/mm/transparent_hugepage'

/** Linux 6.1. */
const madviseCollapse = 25

/** Of /proc/self/pagemap: a word for each page, whose highest bit says that it is there. */
const wordBytes = 8

/** Whether the system has huge pages of the usual size, and its operator lets programs ask for them. */
const areOffered = (): boolean =>
  readFileSync(`${sysFolder}/hpage_pmd_size`, 'utf8').trim() === `${hugeBytes}` &&
  !readFileSync(`${sysFolder}/enabled`, 'utf8').includes('[never]')

/** Private memory of no file that can be written. */
const anonymous = /^([\da-f]+)-([\da-f]+) rw-p 00000000 00:00 0\s*(?:\[heap\])?$/gm

/** Addresses of pieces, each as large as a huge page, whose small pages are all there. */
function* filledPieces(): Generator<number, void> {
  const pagemap = openSync('/proc/self/pagemap', 'r')
  try {
    const words = Buffer.alloc((hugeBytes / pageBytes) * wordBytes)
    for (const [, begin, end] of readFileSync('/proc/self/maps', 'utf8').matchAll(anonymous)) {
      const last = Number(`0x${end}`) - hugeBytes
      const first = Math.ceil(Number(`0x${begin}`) / hugeBytes) * hugeBytes
      for (let address = first; address <= last; address += hugeBytes) {
        const length = readSync(pagemap, words, 0, words.length, (address / pageBytes) * wordBytes)
        if (length === words.length && areAllThere(words)) yield address
      }
    }
  } finally {
    closeSync(pagemap)
  }
}

const areAllThere = (words: Uint8Array): boolean => {
  for (let at = wordBytes - 1; at < words.length; at += wordBytes) {
    if (words[at]! < 0x80) return false
  }
  return true
}

/**
 * Yields after each piece, which takes one or two milliseconds; memory grows by none. Where the system does
 * not have it, it ends at once.
 */
export function* moveIntoHugePages(): Generator<void, void> {
  if (process.platform !== 'linux') return
  try {
    if (!areOffered()) return
    const madvise = koffi.load('libc.so.6').func('madvise', 'int', ['uintptr_t', 'size_t', 'int'])
    for (const address of filledPieces()) {
      // One that is freed meanwhile, or for which there is no room, stays as it is.
      madvise(address, hugeBytes, madviseCollapse)
      yield
    }
  } catch {
    // An old system or a sandbox: the process works as it did.
  }
}
