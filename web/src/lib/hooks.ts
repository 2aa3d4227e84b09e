import { useEffect, useState } from 'react'

/** The time, renewed every half minute, for relative times. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 30_000)
    return () => clearInterval(timer)
  }, [])
  return now
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Kalpana`
  }, [title])
}
