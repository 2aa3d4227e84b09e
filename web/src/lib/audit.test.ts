import { expect, test } from 'vitest'
import { actionText, auditSearch, viaText } from './audit'

test('an unknown action is shown as it is', () => {
  expect(actionText('sign-in')).toBe('Signed in')
  expect(actionText('new-action')).toBe('new-action')
  expect(actionText('constructor')).toBe('constructor')
})

test('the right is told where it is not the usual one', () => {
  expect([viaText('session'), viaText(''), viaText('link'), viaText('token t1')]).toEqual([
    '',
    '',
    'by a link',
    'by a token',
  ])
})

test('a filter from the address holds text only', () => {
  expect(auditSearch({ person: ' p1 ', workspace: '', action: 7, other: 'x' })).toEqual({ person: 'p1' })
  expect(auditSearch({ workspace: 'x'.repeat(900) }).workspace).toHaveLength(64)
})
