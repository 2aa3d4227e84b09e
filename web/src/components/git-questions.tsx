import { useQuery } from '@tanstack/react-query'
import { KeyRound } from 'lucide-react'
import { useEffect, useState } from 'react'
import { gitQuestionsQuery, useAnswerGit, useWorkspaces } from '@/api/queries'
import type { GitQuestion } from '@/api/types'
import { ProblemNotice } from './problem-notice'
import { Button } from './ui/button'

/** What programs in workspaces want to sign in at, until somebody has said yes or no. */
export function GitQuestions() {
  const { data: questions = [] } = useQuery({ ...gitQuestionsQuery, staleTime: Number.POSITIVE_INFINITY })
  return (
    <section
      aria-label="Questions of your workspaces"
      aria-live="polite"
      className="fixed right-4 bottom-4 z-30 grid w-[min(26rem,calc(100vw-2rem))] gap-3 empty:hidden"
    >
      {questions.map((question) => (
        <Ask key={question.id} question={question} />
      ))}
    </section>
  )
}

/** How long a question stands there before it can be answered, in milliseconds. */
const settles = 700

/**
 * Whether a question has stood there for a moment. A program in the workspace chooses when one goes and another one
 * comes: it must not get the click that was on its way to the one before.
 */
function useSettled(): boolean {
  const [settled, setSettled] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(true), settles)
    return () => clearTimeout(timer)
  }, [])
  return settled
}

function Ask({ question: { id, workspace, server, repository } }: { question: GitQuestion }) {
  const answer = useAnswerGit()
  const settled = useSettled()
  const name = useWorkspaces().data?.find((one) => one.id === workspace)?.name ?? workspace
  const button = (text: string, label: string, allow: boolean, hours: number, primary?: boolean) => (
    <Button
      size="sm"
      variant={primary ? 'primary' : undefined}
      aria-label={label}
      disabled={answer.isPending || !settled}
      onClick={() => answer.mutate({ id, allow, hours })}
    >
      {text}
    </Button>
  )
  return (
    <div className="grid animate-in gap-3 rounded-xl border border-input bg-raised p-4 shadow-2xl shadow-shadow">
      <div className="flex gap-3">
        <KeyRound aria-hidden className="mt-0.5 size-4 shrink-0 text-muted" />
        <div className="grid min-w-0 gap-1">
          <p className="font-medium break-words">{name} wants to sign in for you</p>
          <p className="text-sm break-words text-soft">
            Git in this workspace asks for <strong className="font-medium">{repository}</strong> at {server}.
            It is not the repository that the workspace was made from. Allow it only if you, or an agent of
            yours, just used it.
          </p>
        </div>
      </div>
      {answer.error && <ProblemNotice error={answer.error} title="Your answer did not arrive" />}
      <div className="flex flex-wrap justify-end gap-2">
        {button('Refuse', `Refuse ${repository}`, false, 0)}
        {button('For 8 hours', `For 8 hours allow ${repository}`, true, 8)}
        {button('Allow once', `Allow once ${repository}`, true, 0, true)}
      </div>
    </div>
  )
}
