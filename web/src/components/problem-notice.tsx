import type { ReactNode } from 'react'
import { asProblem } from '@/api/problem'
import { Notice } from './ui/notice'

export function ProblemNotice({
  error,
  title,
  action,
}: {
  error: unknown
  title?: string
  action?: ReactNode
}) {
  const problem = asProblem(error)
  const heading = title ?? (problem.title === problem.message ? undefined : problem.title)
  return (
    <Notice title={heading} action={action}>
      {problem.message}
    </Notice>
  )
}
