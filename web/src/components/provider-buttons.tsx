import { LogIn } from 'lucide-react'
import { useProvider } from '@/api/login'
import type { Method } from '@/api/types'
import { ProblemNotice } from './problem-notice'
import { Button } from './ui/button'

type Props = { providers: Method[]; next?: string; invitation?: string }

/** A button for each login provider. */
export function ProviderButtons({ providers, next, invitation }: Props) {
  const provider = useProvider()
  const going = provider.going ? provider.variables?.provider : undefined

  return (
    <div className="grid gap-2.5">
      {providers.map(({ name, title }, index) => (
        <Button
          key={name}
          size="lg"
          variant={index === 0 ? 'primary' : 'outline'}
          disabled={going !== undefined}
          onClick={() => provider.mutate({ provider: name, next, invitation })}
        >
          <LogIn aria-hidden />
          {going === name ? `Going to ${title}…` : `Continue with ${title}`}
        </Button>
      ))}
      {provider.error && <ProblemNotice error={provider.error} />}
    </div>
  )
}
