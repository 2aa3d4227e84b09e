import { expect, test } from 'vitest'
import { sinceDay, usageSearch } from './usage'

test('the address says by what and since when', () => {
  expect(usageSearch({ by: 'model', days: 7 })).toEqual({ by: 'model', days: 7 })
  expect(usageSearch({ by: 'model', days: '7' })).toEqual({ by: 'model', days: 7 })
  expect(usageSearch({ by: 'everything', days: 8 })).toEqual({})
})

test('today is the first of one day', () => {
  const now = Date.parse('2026-11-30T12:00:00Z')
  expect(sinceDay(1, now)).toBe('2026-11-30')
  expect(sinceDay(7, now)).toBe('2026-11-24')
})
