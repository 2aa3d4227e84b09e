import { useNow } from '@/lib/hooks'
import { ago } from '@/lib/time'

export function TimeAgo({ time }: { time: string }) {
  const now = useNow()
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {ago(time, now)}
    </time>
  )
}
