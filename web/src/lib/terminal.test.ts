import { expect, test } from 'vitest'
import { appendOutput, plainOutput } from './terminal'

test('colours and titles are left out', () => {
  expect(plainOutput('\u001b[32mok\u001b[0m  \u001b]0;title\u0007pkg\u001b(B')).toBe('ok  pkg')
})

test('a line that is written over shows its last state', () => {
  expect(plainOutput('10 %\r50 %\r100 %\r\ndone\r\n')).toBe('100 %\ndone\n')
})

test('tabs stay, other control characters and turned text do not', () => {
  expect(plainOutput('a\tb\u0000\u0008\u202ec')).toBe('a\tbc')
})

test('the end of long output is kept', () => {
  const text = appendOutput('x'.repeat(64 * 1024), 'end')
  expect(text.length).toBe(64 * 1024)
  expect(text.endsWith('xend')).toBe(true)
})
