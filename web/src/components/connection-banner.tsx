import { WifiOff } from 'lucide-react'
import { useConnection } from '@/api/connection'
import { Button } from './ui/button'

export function ConnectionBanner() {
  const { connection, retry } = useConnection()
  return (
    <div role="status">
      {connection === 'lost' && (
        <div className="flex items-center justify-center gap-2.5 border-b border-warning/25 bg-warning/8 px-4 py-1 text-[0.8125rem] text-warning">
          <WifiOff aria-hidden className="size-4 shrink-0" />
          <span>Connection lost. States may be out of date; reconnecting.</span>
          <Button variant="ghost" size="sm" className="-my-1 text-warning underline" onClick={retry}>
            Try now
          </Button>
        </div>
      )}
    </div>
  )
}
