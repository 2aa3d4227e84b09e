import { useEffect, useState } from 'react'

/** The time, renewed every half minute, for relative times; or as often as is said. */
export function useNow(every = 30_000): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every)
    return () => clearInterval(timer)
  }, [every])
  return now
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Kalpana`
  }, [title])
}
