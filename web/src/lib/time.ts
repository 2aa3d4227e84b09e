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
