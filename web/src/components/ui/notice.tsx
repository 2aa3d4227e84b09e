import { CircleAlert, Info } from 'lucide-react'
import type { ReactNode } from 'react'
import { cn } from '@/lib/cn'

type Props = { tone?: 'error' | 'info'; title?: string; children: ReactNode; action?: ReactNode }

export function Notice({ tone = 'error', title, children, action }: Props) {
  const Icon = tone === 'error' ? CircleAlert : Info
  return (
    <div
      role={tone === 'error' ? 'alert' : 'status'}
      className={cn(
        'flex gap-3 rounded-lg border p-3.5',
        tone === 'error' ? 'border-destructive/40 bg-destructive/8' : 'border-input bg-card',
      )}
    >
      <Icon
        aria-hidden
        className={cn('mt-0.5 size-4 shrink-0', tone === 'error' ? 'text-destructive' : 'text-muted')}
      />
      <div className="grid min-w-0 flex-1 gap-1">
        {title && <p className="font-medium">{title}</p>}
        <div className="text-soft break-words">{children}</div>
        {action && <div className="mt-1.5 flex gap-2">{action}</div>}
      </div>
    </div>
  )
}
