import { useQueryClient } from '@tanstack/react-query'
import { Link, useRouter } from '@tanstack/react-router'
import { LogIn } from 'lucide-react'
import { useLinkSignIn } from '@/api/login'
import { asProblem } from '@/api/problem'
import { meQuery } from '@/api/queries'
import { ProblemNotice } from '@/components/problem-notice'
import { Button } from '@/components/ui/button'
import { Notice } from '@/components/ui/notice'
import { useFragment } from '@/lib/fragment'
import { useTitle } from '@/lib/hooks'
import { goTo, takeNext } from '@/lib/next'
import { CentredPage, Heading } from './frame'

const another = (
  <>
    Ask an admin for another, or run{' '}
    <code className="font-mono whitespace-nowrap text-foreground">kalpana sign-in-link</code> on the server.
  </>
)

/**
 * The target of a sign-in link. Links get fetched ahead by mail scanners and chat previews, so the
 * token, which is good for one use, is sent on a click only.
 */
export function LinkPage({ next }: { next?: string }) {
  useTitle('Sign in')
  const router = useRouter()
  const client = useQueryClient()
  const signIn = useLinkSignIn()
  const token = useFragment(signIn.reset)

  const submit = () =>
    signIn.mutate(token, {
      onSuccess: async () => {
        await client.resetQueries({ queryKey: meQuery.queryKey })
        goTo(takeNext(next), router.history)
      },
    })

  if (!token) {
    return (
      <CentredPage>
        <Heading>This sign-in link is incomplete</Heading>
        <Notice tone="info">The part after # is missing. Open the whole link again. {another}</Notice>
        <Button asChild className="justify-self-start">
          <Link to="/">Go to the start</Link>
        </Button>
      </CentredPage>
    )
  }
  if (signIn.error && asProblem(signIn.error).status === 401) {
    return (
      <CentredPage>
        <Heading>This sign-in link no longer works</Heading>
        <Notice title="It was used already, or is too old">
          A link works once, for ten minutes. {another}
        </Notice>
        <Button asChild className="justify-self-start">
          <Link to="/">Go to the start</Link>
        </Button>
      </CentredPage>
    )
  }
  return (
    <CentredPage>
      <div className="grid gap-2">
        <Heading>Welcome to Kalpana</Heading>
        <p className="text-soft">This link signs you in on this browser. It works once.</p>
      </div>
      {signIn.error && <ProblemNotice error={signIn.error} />}
      <Button variant="primary" size="lg" disabled={signIn.isPending || signIn.isSuccess} onClick={submit}>
        <LogIn aria-hidden />
        {signIn.isPending || signIn.isSuccess ? 'Signing in…' : 'Sign in'}
      </Button>
    </CentredPage>
  )
}
