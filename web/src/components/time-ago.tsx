import { useNow } from '@/lib/hooks'
import { ago, clock, until } from '@/lib/time'

export function TimeAgo({ time }: { time: string }) {
  return <Time time={time} text={ago(time, useNow())} />
}

/** When something that still lasts ends. */
export function TimeUntil({ time }: { time: string }) {
  return <Time time={time} text={until(time, useNow())} />
}

/** When something was or will be, by the clock. */
export function TimeAt({ time }: { time: string }) {
  return <Time time={time} text={clock(time, useNow())} />
}

function Time({ time, text }: { time: string; text: string }) {
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {text}
    </time>
  )
}
