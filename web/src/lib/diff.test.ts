import { expect, test } from 'vitest'
import { countsText, parseDiff } from './diff'

const one = `--- a/main.go
+++ b/main.go
@@ -1,3 +1,4 @@ package main
 package main
-var a = 1
+var a = 2
+var b = 3
 // end
@@ -20 +21 @@
-old
+new
\\ No newline at end of file
`

test('a diff has its lines with their numbers, and counts', () => {
  const { lines, added, removed, cut } = parseDiff(one)
  expect(lines.map(({ kind, text, number }) => [kind, text, number])).toEqual([
    ['same', 'package main', 1],
    ['removed', 'var a = 1', 2],
    ['added', 'var a = 2', 2],
    ['added', 'var b = 3', 3],
    ['same', '// end', 4],
    ['gap', '', undefined],
    ['removed', 'old', 20],
    ['added', 'new', 21],
  ])
  expect([added, removed, cut]).toEqual([3, 2, false])
})

test('lines that look like headers are lines within a hunk', () => {
  const { lines } = parseDiff('@@ -1,2 +1,2 @@\n--- a\n+++ b\n x')
  expect(lines.map(({ kind, text }) => `${kind} ${text}`)).toEqual(['removed -- a', 'added ++ b', 'same x'])
})

test('a diff of several files names them', () => {
  const { lines } = parseDiff(
    'diff --git a/a.ts b/a.ts\nindex 1..2 100644\n--- a/a.ts\n+++ b/a.ts\n@@ -1 +1 @@\n-a\n+b\ndiff --git a/i.png b/i.png\nBinary files a/i.png and b/i.png differ',
  )
  expect(lines.filter(({ kind }) => kind === 'file').map(({ text }) => text)).toEqual([
    'a.ts',
    'i.png',
    'Binary files a/i.png and b/i.png differ',
  ])
})

test('a long diff is cut and counted as a whole', () => {
  const { lines, added, cut } = parseDiff(`@@ -0,0 +1,50 @@\n${'+x\n'.repeat(50)}`, 10)
  expect([lines.length, added, cut]).toEqual([10, 50, true])
})

test('what is no diff has no lines', () => {
  expect(parseDiff('').lines).toEqual([])
  expect(parseDiff('hello\nworld').lines).toEqual([])
})

test('counts are told without zeroes', () => {
  expect(countsText({ added: 3, removed: 2 })).toBe('+3 −2')
  expect(countsText({ added: 0, removed: 1 })).toBe('−1')
  expect(countsText({ added: 0, removed: 0 })).toBe('')
})
