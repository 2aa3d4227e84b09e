import { expect, test } from 'vitest'
import { hasWords } from './find'

test.each([
  ['', true],
  ['  ', true],
  ['THE', true],
  ['python the', true],
  ['the rust', false],
  ['thesispython', false], // each text is one of its own
])('%j', (words, found) => expect(hasWords(words, 'thesis', undefined, 'Python')).toBe(found))
