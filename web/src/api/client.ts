import createClient from 'openapi-fetch'
import { Problem, toProblem, unreachable } from './problem'
import type { paths } from './schema'

export const api = createClient<paths>({ credentials: 'same-origin' })

// A JSON content type on every unsafe call, body or none, keeps plain HTML forms out.
api.use({
  onRequest({ request }) {
    if (request.method !== 'GET') request.headers.set('Content-Type', 'application/json')
  },
})

type Result<T> = { data?: T; error?: unknown; response: Response }

/** The data of an answer; throws a Problem for anything but success. */
export async function data<T>(call: Promise<Result<T>>): Promise<T> {
  const result = await call.catch((error: unknown) => {
    // fetch throws a TypeError where no answer came, or one that was cut off.
    throw error instanceof TypeError ? unreachable() : error
  })
  if (!result.response.ok) throw toProblem(result.response.status, result.error)
  return result.data as T
}

export function isSignedOut(error: unknown): boolean {
  return error instanceof Problem && error.status === 401
}
