import type { Schedule } from '@/api/types'

export type Day = NonNullable<Schedule['days']>[number]

export const days: { value: Day; text: string; short: string }[] = [
  { value: 'mon', text: 'Monday', short: 'Mon' },
  { value: 'tue', text: 'Tuesday', short: 'Tue' },
  { value: 'wed', text: 'Wednesday', short: 'Wed' },
  { value: 'thu', text: 'Thursday', short: 'Thu' },
  { value: 'fri', text: 'Friday', short: 'Fri' },
  { value: 'sat', text: 'Saturday', short: 'Sat' },
  { value: 'sun', text: 'Sunday', short: 'Sun' },
]

/** "Wakes at 08:30 and stops at 19:00, Mon to Fri (Europe/Vienna)". */
export function scheduleText({ wakeAt, stopAt, days: chosen, zone }: Schedule): string {
  const parts = [wakeAt && `wakes at ${wakeAt}`, stopAt && `stops at ${stopAt}`].filter(Boolean).join(' and ')
  const text = `${parts}, ${daysText(chosen ?? [])} (${zone || 'UTC'})`
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function daysText(chosen: Day[]): string {
  const indexes = days.flatMap(({ value }, index) => (chosen.includes(value) ? [index] : []))
  const [first = 0] = indexes
  const last = indexes.at(-1) ?? 0
  const short = (index: number) => days[index]?.short ?? ''
  if (indexes.length === 0 || indexes.length === days.length) return 'every day'
  if (indexes.length > 2 && last - first === indexes.length - 1) return `${short(first)} to ${short(last)}`
  return indexes.map(short).join(', ')
}

export function browserZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
}

/** Every zone that the browser knows, and those of `others`. */
export function zones(...others: string[]): string[] {
  const known = Intl.supportedValuesOf('timeZone')
  return [...new Set([...known, 'UTC', ...others])].sort()
}

export type Draft = {
  wake: boolean
  wakeAt: string
  stop: boolean
  stopAt: string
  days: Day[]
  zone: string
}

/** What the editor begins with: the schedule, or stopping on the evenings of working days. */
export function draftOf(schedule: Schedule | undefined, zone: string): Draft {
  return {
    wake: Boolean(schedule?.wakeAt),
    wakeAt: schedule?.wakeAt || '08:30',
    stop: schedule ? Boolean(schedule.stopAt) : true,
    stopAt: schedule?.stopAt || '19:00',
    days: schedule ? (schedule.days ?? days.map(({ value }) => value)) : ['mon', 'tue', 'wed', 'thu', 'fri'],
    zone: schedule ? schedule.zone || 'UTC' : zone,
  }
}

/** Reads the editor; a text says what is wrong, undefined is no schedule. */
export function readDraft(draft: Draft): Schedule | string | undefined {
  if (!draft.wake && !draft.stop) return undefined
  if (draft.wake && !draft.wakeAt) return 'Say when it wakes.'
  if (draft.stop && !draft.stopAt) return 'Say when it stops.'
  if (draft.wake && draft.stop && draft.wakeAt === draft.stopAt)
    return 'It cannot wake and stop at the same time.'
  if (draft.days.length === 0) return 'Choose at least one day.'
  return {
    zone: draft.zone,
    ...(draft.wake && { wakeAt: draft.wakeAt }),
    ...(draft.stop && { stopAt: draft.stopAt }),
    ...(draft.days.length < days.length && {
      days: days.map(({ value }) => value).filter((day) => draft.days.includes(day)),
    }),
  }
}
