import { expect, test } from 'vitest'
import { suggestName } from './names'

test('suggests two words', () => expect(suggestName([], () => 0)).toBe('amber-atlas'))

test('avoids taken names', () => {
  const rolls = [0, 0, 0.99, 0.99]
  expect(suggestName(['amber-atlas'], () => rolls.shift() ?? 0)).toBe('warm-willow')
})
