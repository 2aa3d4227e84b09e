import { expect, test } from 'vitest'
import { bytesText, diskUse, gib } from './bytes'

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1536, '1.5 KiB'],
  [1024 ** 2 - 1, '1 MiB'],
  [2.345 * gib, '2.35 GiB'],
  [512 * 1024 ** 2, '512 MiB'],
  [3000 * gib, '2.93 TiB'],
])('%d bytes are %s', (bytes, text) => expect(bytesText(bytes)).toBe(text))

test('a disk is warned of from 80 % of its limit on', () => {
  expect(diskUse(0, 10 * gib)).toBeUndefined()
  expect(diskUse(7.99 * gib, 10 * gib)).toMatchObject({ warn: false, full: false })
  expect(diskUse(8 * gib, 10 * gib)).toMatchObject({
    warn: true,
    full: false,
    text: '8 GiB of 10 GiB (80 %)',
  })
  expect(diskUse(11 * gib, 10 * gib)).toMatchObject({ warn: true, full: true, share: 1 })
})

test('without a limit nothing is warned of', () =>
  expect(diskUse(900 * gib, 0)).toEqual({ text: '900 GiB', share: undefined, warn: false, full: false }))
