import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useRouter } from '@tanstack/react-router'
import { type FormEvent, useState } from 'react'
import { methodsQuery, useRedeem, useSignOut } from '@/api/login'
import { asProblem } from '@/api/problem'
import { meQuery } from '@/api/queries'
import type { Me, Method } from '@/api/types'
import { Loaded } from '@/components/loaded'
import { ProblemNotice } from '@/components/problem-notice'
import { ProviderButtons } from '@/components/provider-buttons'
import { NobodyIn } from '@/components/sign-in'
import { Button } from '@/components/ui/button'
import { Field } from '@/components/ui/field'
import { Notice } from '@/components/ui/notice'
import { useFragment } from '@/lib/fragment'
import { useTitle } from '@/lib/hooks'
import { goTo, recallNext, takeNext } from '@/lib/next'
import { CentredPage, Heading } from './frame'

/** The target of an invitation link. Opening it uses up nothing: mail scanners open links too. */
export function InvitePage() {
  useTitle('Invitation')
  const redeem = useRedeem()
  const invitation = useFragment(redeem.reset)
  const methods = useQuery(methodsQuery)
  const { data: me } = useQuery(meQuery)

  if (!invitation) {
    return (
      <CentredPage>
        <Heading>This invitation is incomplete</Heading>
        <Notice tone="info">The part after # is missing. Open the whole link again.</Notice>
        <ToStart />
      </CentredPage>
    )
  }
  if (me && !redeem.isSuccess) return <SignedIn me={me} />
  if (redeem.error && asProblem(redeem.error).status === 404) {
    return (
      <CentredPage>
        <Heading>This invitation no longer works</Heading>
        <Notice title="It was used already, or was taken back, or is too old">
          An invitation works once. Ask whoever sent it for another.
        </Notice>
        <ToStart />
      </CentredPage>
    )
  }
  return (
    <CentredPage>
      <div className="grid gap-2">
        <Heading>You are invited to Kalpana</Heading>
        <p className="text-soft">
          VS Code in the browser, on the server of whoever invited you. This invitation is for one person and
          works once.
        </p>
      </div>
      <Loaded query={methods} what="the ways to sign in" rows={1}>
        {(methods) => <Accept methods={methods} invitation={invitation} redeem={redeem} />}
      </Loaded>
    </CentredPage>
  )
}

type AcceptProps = { methods: Method[]; invitation: string; redeem: ReturnType<typeof useRedeem> }

function Accept({ methods, invitation, redeem }: AcceptProps) {
  const providers = methods.filter(({ kind }) => kind !== 'link')
  if (methods.length === 0) return <NobodyIn />
  if (providers.length === 0) return <NameForm invitation={invitation} redeem={redeem} />
  return (
    <div className="grid gap-3">
      <ProviderButtons providers={providers} next={recallNext(undefined)} invitation={invitation} />
      <p className="text-[0.8125rem] text-muted">
        From then on, you sign in with the account that you use now.
      </p>
    </div>
  )
}

/** Where no provider tells who someone is, they say their name, and stay signed in on this browser. */
function NameForm({ invitation, redeem }: Omit<AcceptProps, 'methods'>) {
  const client = useQueryClient()
  const router = useRouter()
  const [name, setName] = useState('')
  const fieldError = redeem.error ? asProblem(redeem.error).fields.name : undefined
  const busy = redeem.isPending || redeem.isSuccess

  const submit = (event: FormEvent) => {
    event.preventDefault()
    redeem.mutate(
      { token: invitation, name: name.trim() },
      {
        onSuccess: async () => {
          await client.resetQueries({ queryKey: meQuery.queryKey })
          goTo(takeNext(undefined), router.history)
        },
      },
    )
  }

  return (
    <form onSubmit={submit} className="grid gap-5">
      <Field
        label="Your name"
        required
        autoFocus
        autoComplete="name"
        maxLength={64}
        value={name}
        error={fieldError}
        note="Others here see it."
        onChange={(event) => setName(event.target.value)}
      />
      {redeem.error && !fieldError && <ProblemNotice error={redeem.error} />}
      <Button type="submit" variant="primary" size="lg" disabled={busy || !name.trim()}>
        {busy ? 'Joining…' : 'Join'}
      </Button>
    </form>
  )
}

function SignedIn({ me }: { me: Me }) {
  const client = useQueryClient()
  const signOut = useSignOut()
  const leave = () =>
    signOut.mutate(undefined, { onSuccess: () => client.setQueryData(meQuery.queryKey, null) })
  return (
    <CentredPage>
      <div className="grid gap-2">
        <Heading>You are here already</Heading>
        <p className="text-soft">
          You are signed in as <span className="text-foreground">{me.name}</span>. The invitation is not used
          up: pass it on to whom it is for, or sign out to use it as someone else.
        </p>
      </div>
      {signOut.error && <ProblemNotice error={signOut.error} title="You were not signed out" />}
      <div className="flex flex-wrap gap-2">
        <Button asChild variant="primary">
          <Link to="/workspaces">See your workspaces</Link>
        </Button>
        <Button variant="ghost" disabled={signOut.isPending} onClick={leave}>
          Sign out and use it
        </Button>
      </div>
    </CentredPage>
  )
}

function ToStart() {
  return (
    <Button asChild className="justify-self-start">
      <Link to="/">Go to the start</Link>
    </Button>
  )
}
