import { expect, test } from 'vitest'
import { ago, clock, lengthText, until } from './time'

const now = Date.parse('2025-06-15T12:00:00Z')

test.each([
  [0, 'just now'],
  [-600, 'just now'],
  [44, 'just now'],
  [46, '1 minute ago'],
  [180, '3 minutes ago'],
  [3599, '1 hour ago'],
  [3 * 3600, '3 hours ago'],
  [86399, 'yesterday'],
  [6 * 86400, '6 days ago'],
  [45 * 86400, '2 months ago'],
  [400 * 86400, 'last year'],
])('%d seconds is %s', (seconds, text) => {
  expect(ago(new Date(now - seconds * 1000).toISOString(), now)).toBe(text)
})

test('nonsense is said to be so', () => expect(ago('soon', now)).toBe('at an unknown time'))

test.each([
  [-5, 'now'],
  [30, 'in a moment'],
  [600, 'in 10 minutes'],
  [86399, 'tomorrow'],
  [7 * 86400, 'in 7 days'],
  [90 * 86400, 'in 90 days'],
  [365 * 86400, 'next year'],
])('in %d seconds is %s', (seconds, text) => {
  expect(until(new Date(now + seconds * 1000).toISOString(), now)).toBe(text)
})

test.each([
  [2, '14:02'],
  [12, 'tomorrow 00:02'],
  [72, 'Wed 12:02'],
  [-24, 'Jun 14 12:02'],
  [24 * 30, 'Jul 15 12:02'],
])('in %d hours the clock says %s', (hours, text) => {
  const noon = new Date(2025, 5, 15, 12, 2).getTime()
  expect(clock(noon + hours * 3_600_000, noon)).toBe(text)
})

test.each([
  [Number.NaN, '0.0 s'],
  [-1, '0.0 s'],
  [0.049, '0.0 s'],
  [0.72, '0.7 s'],
  [9.96, '10 s'],
  [59.4, '59 s'],
  [59.6, '1 min 0 s'],
  [125, '2 min 5 s'],
])('%d seconds take %s', (seconds, text) => expect(lengthText(seconds)).toBe(text))
