import { expect, test } from 'vitest'
import { gib } from './bytes'
import { quotaDraft, quotaText, readQuota } from './quota'

const quota = { workspaces: 12, running: 2, cpus: 1.5, memory: 6 * gib, disk: -1 }

test('what differs from everybody is told', () => {
  expect(quotaText(quota)).toBe(
    '12 workspaces, 2 running, 1.5 processors each, 6 GiB memory each, unlimited disk',
  )
  expect(quotaText({})).toBe('')
})

test('the form is read as it was filled', () => {
  expect(quotaDraft(quota)).toMatchObject({ memory: '6', disk: 'unlimited', pids: '' })
  expect(readQuota(quotaDraft(quota))).toEqual({ quota, faults: {} })
  expect(readQuota(quotaDraft({}))).toEqual({ quota: {}, faults: {} })
})

test('a comma is a decimal point', () =>
  expect(readQuota({ ...quotaDraft({}), memory: '1,5' }).quota).toEqual({ memory: 1.5 * gib }))

test.each(['0', '-1', '1.5', 'many', '1e3', '0x10'])('%j workspaces are refused', (workspaces) => {
  const { quota, faults } = readQuota({ ...quotaDraft({}), workspaces })
  expect(faults.workspaces).toMatch(/whole number/)
  expect(quota).toEqual({})
})
