/**
 * Passes over the vocabulary go in blocks of so many tokens, each a call. V8 compiles a function well by what
 * many calls of it did; one call that loops 65,536 times gets code made in the middle of its first run and
 * keeps it, which takes up to four times as long.
 */
export const vocabularyBlock = 1024
