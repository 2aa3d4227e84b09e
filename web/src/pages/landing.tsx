import { useQuery } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { useEffect, useMemo } from 'react'
import { meQuery } from '@/api/queries'
import { Logo } from '@/components/logo'
import { SignIn } from '@/components/sign-in'
import { Sleeper } from '@/components/sleeper'
import { useTitle } from '@/lib/hooks'
import { goTo, recallNext, rememberNext, takeNext } from '@/lib/next'

/** What someone who is signed out sees, at / and at /login. */
export function LandingPage({ next, error }: { next?: string; error?: string }) {
  useTitle('Sign in')
  const router = useRouter()
  const destination = useMemo(() => recallNext(next), [next])
  // Signing in by the link may happen in another tab: coming back here goes on by itself.
  const { data: me } = useQuery({ ...meQuery, staleTime: 0, refetchOnWindowFocus: 'always' })

  useEffect(() => rememberNext(destination), [destination])
  useEffect(() => {
    if (me) goTo(takeNext(destination), router.history)
  }, [me, destination, router])

  return (
    <div className="mx-auto flex min-h-dvh max-w-5xl flex-col px-5 sm:px-8">
      <header className="flex h-16 items-center">
        <Logo />
      </header>
      <main className="grid flex-1 content-start items-start gap-12 py-10 lg:grid-cols-[1.1fr_1fr] lg:gap-16 lg:pt-[16vh]">
        <div className="grid gap-8">
          <div className="grid gap-4">
            <h1 className="text-4xl font-semibold tracking-tight text-balance sm:text-5xl sm:leading-[1.08]">
              Your editor, <span className="whitespace-nowrap text-primary">one address</span> away.
            </h1>
            <p className="max-w-[46ch] text-base text-soft sm:text-lg">
              VS Code in the browser, on your own server, with an AI agent beside it that works in the same
              files. A workspace sleeps when you leave, and wakes when you open its address.
            </p>
          </div>
          <SignIn next={destination} error={error} />
        </div>
        <Sleeper />
      </main>
    </div>
  )
}
