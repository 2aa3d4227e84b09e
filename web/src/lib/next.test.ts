import { describe, expect, test } from 'vitest'
import { isServerRoute, safeNext } from './next'

describe('safeNext', () => {
  test.each(['/handoff?host=a234567890.ws.kalpana.localhost&nonce=1', '/workspaces', '/w/a234567890?x=1#y'])(
    'keeps %s',
    (path) => expect(safeNext(path)).toBe(path),
  )

  test.each([
    undefined,
    null,
    7,
    '',
    'workspaces',
    'https://evil.example/',
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    ' /workspaces',
    '/./\\evil.example',
    '/.//evil.example',
    'javascript:alert(1)',
    '/',
    '/login?next=/login',
    '/login/link',
  ])('refuses %j', (path) => expect(safeNext(path)).toBeUndefined())
})

test.each(['/handoff?host=x', '/handoffs', '/internal/x', '/web', '/workspacesx'])(
  'the server answers %s',
  (path) => expect(isServerRoute(path)).toBe(true),
)

test.each(['/workspaces', '/workspaces/new', '/w/a234567890?x=1', '/settings/tokens', '/admin#x', '/invite'])(
  'the app answers %s',
  (path) => expect(isServerRoute(path)).toBe(false),
)
