import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { KeyRound } from 'lucide-react'
import { meQuery } from '@/api/queries'
import { Button } from '../ui/button'
import { Notice } from '../ui/notice'

/** Why the agent cannot be asked, and who can change that. */
export function NotConfigured({ ownKeys }: { ownKeys: boolean }) {
  const { data: me } = useQuery(meQuery)
  return (
    <Notice
      tone="info"
      title="The agent has no model yet"
      action={
        ownKeys && (
          <Button asChild size="sm" variant="primary">
            <Link to="/settings/agent">
              <KeyRound aria-hidden />
              Enter your own key
            </Link>
          </Button>
        )
      }
    >
      {me?.role === 'admin' ? (
        <>
          For everybody: set <code className="font-mono text-xs">OPENROUTER_API_KEY</code> in the server’s
          environment, or <code className="font-mono text-xs">agent {'{ key … }'}</code> in its Caddyfile, and
          restart it.
        </>
      ) : (
        'This Kalpana has no key at a provider of models. Ask whoever runs it.'
      )}
      {ownKeys && ' You can also use a key of your own.'}
    </Notice>
  )
}
