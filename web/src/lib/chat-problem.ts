import { asProblem, type Problem, toProblem, unreachable } from '@/api/problem'

/**
 * What went wrong in a chat. `refused`: the server did not take what was sent. `lost`: the connection ended, and
 * the agent may well be at work.
 */
export type ChatProblem = { problem: Problem; refused: boolean; lost: boolean }

/** Reads an error of useChat: a refusal with its body, a broken connection, or the text of the stream's error. */
export function chatProblem(error: Error): ChatProblem {
  const { statusCode, responseBody } = error as { statusCode?: unknown; responseBody?: unknown }
  if (typeof statusCode === 'number')
    return { problem: refusal(statusCode, responseBody), refused: true, lost: false }
  if (error instanceof TypeError) return { problem: unreachable(), refused: false, lost: true }
  return { problem: asProblem(error), refused: false, lost: false }
}

function refusal(status: number, body: unknown): Problem {
  if (typeof body !== 'string' || !body.trim()) return toProblem(status, undefined)
  try {
    return toProblem(status, JSON.parse(body))
  } catch {
    // A page of a proxy is nothing to read.
    if (body.trimStart().startsWith('<')) return toProblem(status, undefined)
    return toProblem(status, { title: '', detail: body.trim().slice(0, 500) })
  }
}
