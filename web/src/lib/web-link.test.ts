import { expect, test } from 'vitest'
import { webLink } from './web-link'

test('addresses of the web are links', () => {
  expect(webLink('https://go.dev/doc')).toBe('https://go.dev/doc')
  expect(webLink('HTTP://example.com')).toBe('http://example.com/')
})

test.each([
  'javascript:alert(1)',
  ' javascript:alert(1)',
  'data:text/html,x',
  'file:///etc/passwd',
  'main.go',
  '/settings/tokens',
  '//evil.example',
  'https://console.example@evil.example/',
  'https://',
  'mailto:a@example.com',
  undefined,
])('%s is none', (href) => {
  expect(webLink(href)).toBeUndefined()
})
