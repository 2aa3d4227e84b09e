import { expect, test } from 'vitest'
import { actionText, auditSearch, viaText } from './audit'

test('an unknown action is shown as it is', () => {
  expect(actionText('sign-in')).toBe('Signed in')
  expect(actionText('new-action')).toBe('new-action')
  expect(actionText('constructor')).toBe('constructor')
})

test.each([
  ['session', ''],
  ['', ''],
  ['link', 'by a link'],
  ['token t1', 'by a token'],
  ['admin socket', 'on the server'],
  ['invitation', 'by an invitation'],
  ['workspace', 'by their workspace'],
  ['github', 'with github'],
])('the right %j is told as %j', (via, text) => expect(viaText(via)).toBe(text))

test('a filter from the address holds text only', () => {
  expect(auditSearch({ person: ' p1 ', workspace: '', action: 7, other: 'x' })).toEqual({ person: 'p1' })
  expect(auditSearch({ workspace: 'x'.repeat(900) }).workspace).toHaveLength(64)
})
