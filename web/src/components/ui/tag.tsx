import type { ReactNode } from 'react'
import { cn } from '@/lib/cn'

const tones = {
  plain: 'text-soft',
  good: 'text-primary',
  warning: 'text-warning',
  bad: 'text-destructive',
}

export function Tag({ tone = 'plain', children }: { tone?: keyof typeof tones; children: ReactNode }) {
  return (
    <span
      className={cn(
        'inline-flex h-6 shrink-0 items-center rounded-full border border-current/25 bg-current/5 px-2 text-xs font-medium',
        tones[tone],
      )}
    >
      {children}
    </span>
  )
}
