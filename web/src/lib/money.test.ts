import { expect, test } from 'vitest'
import { dollars, tokensText } from './money'

test('an amount has as many digits as it needs', () => {
  expect(dollars(0)).toBe('$0.00')
  expect(dollars(0.00001)).toBe('under $0.0001')
  expect(dollars(0.01234)).toBe('$0.0123')
  expect(dollars(0.5)).toBe('$0.50')
  expect(dollars(12.345)).toBe('$12.35')
})

test('tokens are counted in thousands and millions', () => {
  expect(tokensText(1)).toBe('1 token')
  expect(tokensText(950)).toBe('950 tokens')
  expect(tokensText(12_345)).toBe('12.3k tokens')
  expect(tokensText(2_000_000)).toBe('2M tokens')
})
