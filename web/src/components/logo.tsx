import { cn } from '@/lib/cn'

export function Mark({ className }: { className?: string }) {
  return (
    <svg viewBox="4 4 24 24" aria-hidden="true" className={cn('h-5 text-primary', className)}>
      <rect x="5" y="5" width="22" height="22" rx="5.5" fill="none" stroke="currentColor" strokeWidth="2" />
      <rect x="10.5" y="10.5" width="11" height="11" rx="2.5" fill="currentColor" />
    </svg>
  )
}

export function Logo() {
  return (
    <span className="inline-flex items-center gap-2 text-[0.9375rem] font-semibold tracking-tight">
      <Mark className="h-[1.125rem]" />
      Kalpana
    </span>
  )
}
