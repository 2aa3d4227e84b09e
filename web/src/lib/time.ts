const format = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })

const steps: [limit: number, seconds: number, unit: Intl.RelativeTimeFormatUnit][] = [
  [60 * 60, 60, 'minute'],
  [24 * 3600, 3600, 'hour'],
  [30 * 86400, 86400, 'day'],
  [365 * 86400, 30 * 86400, 'month'],
  [Number.POSITIVE_INFINITY, 365 * 86400, 'year'],
]

/** "3 minutes ago". A time in the future (the clocks differ) is "just now". */
export function ago(time: string, now: number): string {
  const then = Date.parse(time)
  if (Number.isNaN(then)) return 'at an unknown time'
  const seconds = (now - then) / 1000
  return seconds < 45 ? 'just now' : distance(seconds, -1)
}

/** "in 3 days", for something that ends then. */
export function until(time: string, now: number): string {
  const then = Date.parse(time)
  if (Number.isNaN(then)) return 'at an unknown time'
  const seconds = (then - now) / 1000
  if (seconds <= 0) return 'now'
  const days = Math.round(seconds / 86400)
  if (days >= 1 && days <= 100) return format.format(days, 'day')
  return seconds < 45 ? 'in a moment' : distance(seconds, 1)
}

function distance(seconds: number, sign: 1 | -1): string {
  for (const [limit, size, unit] of steps) {
    const count = Math.max(1, Math.round(seconds / size))
    if (seconds < limit && count * size < limit) return format.format(sign * count, unit)
  }
  return sign < 0 ? 'long ago' : 'in a long time'
}

const clockFormat = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
const dayFormat = new Intl.DateTimeFormat('en', { weekday: 'short' })
const dateFormat = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' })

/** "14:20" today, "tomorrow 08:30", "Tue 08:30" or "Dec 3 08:30", by the browser's clock and zone. */
export function clock(time: string | number, now: number): string {
  const at = new Date(time)
  if (Number.isNaN(at.getTime())) return 'an unknown time'
  const days = Math.round((startOfDay(at) - startOfDay(new Date(now))) / 86_400_000)
  const text = clockFormat.format(at)
  if (days === 0) return text
  if (days === 1) return `tomorrow ${text}`
  return `${(days > 1 && days < 7 ? dayFormat : dateFormat).format(at)} ${text}`
}

const startOfDay = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime()

/** How long something took: "0.7 s", "12 s", "2 min 5 s". */
export function lengthText(seconds: number): string {
  if (!(seconds > 0)) return '0.0 s'
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}
