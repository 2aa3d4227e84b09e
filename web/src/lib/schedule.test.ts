import { expect, test } from 'vitest'
import { draftOf, readDraft, scheduleText, zones } from './schedule'

test('a schedule is told in one line', () => {
  expect(
    scheduleText({
      zone: 'Europe/Vienna',
      wakeAt: '08:30',
      stopAt: '19:00',
      days: ['mon', 'tue', 'wed', 'thu', 'fri'],
    }),
  ).toBe('Wakes at 08:30 and stops at 19:00, Mon to Fri (Europe/Vienna)')
  expect(scheduleText({ stopAt: '19:00' })).toBe('Stops at 19:00, every day (UTC)')
  expect(scheduleText({ wakeAt: '07:00', days: ['sun', 'mon'] })).toBe('Wakes at 07:00, Mon, Sun (UTC)')
  expect(scheduleText({ wakeAt: '07:00', days: ['mon', 'wed', 'thu'] })).toContain('Mon, Wed, Thu')
})

test('the editor begins with the zone of the browser, and keeps that of a schedule', () => {
  expect(draftOf(undefined, 'Asia/Kolkata')).toMatchObject({ zone: 'Asia/Kolkata', stop: true, wake: false })
  expect(draftOf({ wakeAt: '06:00' }, 'Asia/Kolkata')).toMatchObject({ zone: 'UTC', stop: false, wake: true })
  expect(draftOf({ wakeAt: '06:00' }, 'UTC').days).toHaveLength(7)
  expect(zones('Mars/Base')).toEqual(expect.arrayContaining(['UTC', 'Europe/Vienna', 'Mars/Base']))
})

test('what the editor says is read back', () => {
  const schedule = { zone: 'UTC', wakeAt: '08:30', stopAt: '19:00', days: ['sat' as const, 'sun' as const] }
  expect(readDraft(draftOf(schedule, 'UTC'))).toEqual(schedule)
  expect(readDraft(draftOf({ stopAt: '19:00' }, 'UTC'))).toEqual({ zone: 'UTC', stopAt: '19:00' })
})

test('nothing turned on is no schedule', () =>
  expect(readDraft({ ...draftOf(undefined, 'UTC'), stop: false })).toBeUndefined())

test('what is missing is said', () => {
  const draft = draftOf(undefined, 'UTC')
  expect(readDraft({ ...draft, stopAt: '' })).toMatch(/when it stops/)
  expect(readDraft({ ...draft, wake: true, wakeAt: '' })).toMatch(/when it wakes/)
  expect(readDraft({ ...draft, days: [] })).toMatch(/one day/)
  expect(readDraft({ ...draft, wake: true, wakeAt: '19:00' })).toMatch(/same time/)
})
