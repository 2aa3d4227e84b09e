import { useCallback, useEffect, useRef, useState } from 'react'

/** As far from its end a box still counts as scrolled to it, in pixels. */
const near = 48

/** Keeps a box scrolled to its end while it grows, unless somebody has scrolled up to read. */
export function useSticky() {
  const box = useRef<HTMLElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const wanted = useRef(true)
  const [stuck, setStuck] = useState(true)

  const toEnd = useCallback(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight
  }, [])
  const onScroll = useCallback(() => {
    if (!box.current) return
    const { scrollTop, scrollHeight, clientHeight } = box.current
    wanted.current = scrollHeight - scrollTop - clientHeight < near
    setStuck(wanted.current)
  }, [])
  const stick = useCallback(() => {
    wanted.current = true
    setStuck(true)
    toEnd()
  }, [toEnd])

  useEffect(() => {
    if (!content.current || !box.current) return
    const observer = new ResizeObserver(() => {
      if (wanted.current) toEnd()
    })
    observer.observe(content.current)
    observer.observe(box.current)
    return () => observer.disconnect()
  }, [toEnd])

  return { box, content, stuck, onScroll, stick }
}
