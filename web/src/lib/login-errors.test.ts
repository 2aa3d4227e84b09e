import { expect, test } from 'vitest'
import { loginError } from './login-errors'

const codes =
  'denied not-allowed expired provider unavailable unknown disabled unverified-email rate-limited invitation taken'

test.each(codes.split(' '))('%s is told in words of its own', (code) =>
  expect(loginError(code).title).not.toBe(loginError('?').title),
)

test.each(['', 'new-in-a-later-version', 'constructor', '<script>'])('%j is told in general words', (code) =>
  expect(loginError(code).title).toBe('You are not signed in'),
)
