import { useQuery } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { useEffect } from 'react'
import { meQuery } from '@/api/queries'
import { Logo } from '@/components/logo'
import { Sleeper } from '@/components/sleeper'
import { CopyButton } from '@/components/ui/copy'
import { useTitle } from '@/lib/hooks'
import { goTo, rememberNext, safeNext, takeNext } from '@/lib/next'

/** What someone who is signed out sees, at / and at /login. */
export function LandingPage({ next }: { next?: string }) {
  useTitle('Sign in')
  const router = useRouter()
  const destination = safeNext(next)
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
      <main className="grid flex-1 content-center gap-12 py-10 lg:grid-cols-[1.1fr_1fr] lg:items-center lg:gap-16">
        <div className="grid gap-8">
          <div className="grid gap-4">
            <h1 className="text-4xl font-semibold tracking-tight text-balance sm:text-5xl sm:leading-[1.08]">
              Your editor, <span className="whitespace-nowrap text-primary">one address</span> away.
            </h1>
            <p className="max-w-[46ch] text-base text-soft sm:text-lg">
              Kalpana gives you VS Code in the browser, on your own server. A workspace that you stopped wakes
              when you open its address.
            </p>
          </div>
          <section aria-labelledby="sign-in" className="grid gap-3 rounded-xl border bg-card p-5 sm:p-6">
            <h2 id="sign-in" className="text-base font-semibold">
              {destination ? 'Sign in to go on' : 'Sign in'}
            </h2>
            <p className="text-soft">Ask your operator for a sign-in link, or run this on the server:</p>
            <div className="flex items-center justify-between gap-2 rounded-md border border-input bg-background py-1 pr-1 pl-3.5">
              <code className="font-mono text-[0.8125rem]">
                <span aria-hidden className="text-primary select-none">
                  ${' '}
                </span>
                kalpana sign-in-link
              </code>
              <CopyButton text="kalpana sign-in-link" label="Copy the command" />
            </div>
            <p className="text-[0.8125rem] text-muted">
              A link works once, for ten minutes. Open it in this browser
              {destination && ' and this tab goes on to where you were heading'}.
            </p>
          </section>
        </div>
        <Sleeper />
      </main>
    </div>
  )
}
