import { useQuery } from '@tanstack/react-query'
import { ChevronRight } from 'lucide-react'
import { methodsQuery } from '@/api/login'
import type { Method } from '@/api/types'
import { loginError } from '@/lib/login-errors'
import { ProblemNotice } from './problem-notice'
import { ProviderButtons } from './provider-buttons'
import { Button } from './ui/button'
import { CopyButton } from './ui/copy'
import { Notice } from './ui/notice'

type Props = { next?: string; error?: string }

/** The ways to sign in, and what went wrong with the last one. */
export function SignIn({ next, error }: Props) {
  const methods = useQuery(methodsQuery)
  const fault = error === undefined ? undefined : loginError(error)
  return (
    <section aria-labelledby="sign-in" className="grid gap-4 rounded-xl border bg-card p-5 sm:p-6">
      <h2 id="sign-in" className="text-base font-semibold">
        {next ? 'Sign in to go on' : 'Sign in'}
      </h2>
      {fault && <Notice title={fault.title}>{fault.text}</Notice>}
      {methods.data && <Methods methods={methods.data} next={next} />}
      {methods.error && !methods.data && (
        <ProblemNotice
          error={methods.error}
          action={
            <Button size="sm" onClick={() => void methods.refetch()}>
              Try again
            </Button>
          }
        />
      )}
    </section>
  )
}

function Methods({ methods, next }: { methods: Method[]; next?: string }) {
  const providers = methods.filter(({ kind }) => kind !== 'link')
  const links = providers.length < methods.length
  if (methods.length === 0) return <NobodyIn />
  return (
    <>
      {providers.length > 0 && <ProviderButtons providers={providers} next={next} />}
      {links && providers.length === 0 && <LinkHelp next={next} />}
      {links && providers.length > 0 && (
        <details className="group grid">
          <summary className="flex cursor-pointer list-none items-center gap-1.5 justify-self-start rounded-sm text-[0.8125rem] text-muted hover:text-foreground [&::-webkit-details-marker]:hidden">
            <ChevronRight aria-hidden className="size-3.5 transition-transform group-open:rotate-90" />
            Use a sign-in link
          </summary>
          <div className="mt-3 grid gap-3">
            <LinkHelp next={next} />
          </div>
        </details>
      )}
    </>
  )
}

function LinkHelp({ next }: { next?: string }) {
  return (
    <>
      <p className="text-soft">Ask an admin for a sign-in link, or run this on the server:</p>
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
        {next && ' and this tab goes on to where you were heading'}.
      </p>
    </>
  )
}

export function NobodyIn() {
  return (
    <Notice tone="info" title="Nobody can sign in">
      No way to sign in is set up. The operator adds one with{' '}
      <code className="font-mono text-foreground">login</code> in the Caddyfile.
    </Notice>
  )
}
