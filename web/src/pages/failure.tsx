import { Link, useRouter } from '@tanstack/react-router'
import { asProblem } from '@/api/problem'
import { ProblemNotice } from '@/components/problem-notice'
import { Button } from '@/components/ui/button'
import { useTitle } from '@/lib/hooks'
import { CentredPage, Heading } from './frame'

export function NotFoundPage() {
  useTitle('Not found')
  return (
    <CentredPage>
      <div className="grid gap-2">
        <Heading>There is no page here</Heading>
        <p className="text-soft">The address may be mistyped, or what was here has moved.</p>
      </div>
      <Button asChild className="justify-self-start">
        <Link to="/">Go to the start</Link>
      </Button>
    </CentredPage>
  )
}

/**
 * What the hand-off to a workspace's address shows where there is none to be opened. One that belongs
 * to someone else is not told from one that never was.
 */
export function WorkspaceGonePage() {
  useTitle('No such workspace')
  return (
    <CentredPage>
      <div className="grid gap-2">
        <Heading>This workspace is not here</Heading>
        <p className="text-soft">It may have been deleted, or it belongs to someone else.</p>
      </div>
      <Button asChild className="justify-self-start">
        <Link to="/workspaces">See your workspaces</Link>
      </Button>
    </CentredPage>
  )
}

export function ErrorPage({ error, reset }: { error: unknown; reset: () => void }) {
  useTitle('Error')
  const router = useRouter()
  const problem = asProblem(error)
  const again = async () => {
    await router.invalidate()
    reset()
  }
  return (
    <CentredPage>
      <Heading>{problem.status === 0 ? problem.title : 'Something went wrong'}</Heading>
      <ProblemNotice error={error} title="" />
      <div className="flex gap-2">
        <Button variant="primary" onClick={() => void again()}>
          Try again
        </Button>
        <Button asChild variant="ghost">
          <a href="/">Go to the start</a>
        </Button>
      </div>
    </CentredPage>
  )
}
