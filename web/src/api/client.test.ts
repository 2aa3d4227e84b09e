import { expect, test } from 'vitest'
import { api, data } from './client'
import { asProblem } from './problem'

const call = (fetch: () => Promise<Response>) =>
  data(api.GET('/api/me', { baseUrl: 'http://kalpana.localhost', fetch })).then(
    () => expect.unreachable('the call should fail'),
    asProblem,
  )

test('a fetch that fails says that the server cannot be reached', async () => {
  const problem = await call(() => Promise.reject(new TypeError('Failed to fetch')))
  expect(problem.title).toBe('Kalpana cannot be reached')
})

test('so does an answer that is cut off', async () => {
  const body = new ReadableStream({ start: (stream) => stream.error(new TypeError('network error')) })
  expect((await call(async () => new Response(body))).title).toBe('Kalpana cannot be reached')
})

test('an answer that is no JSON does not', async () => {
  expect((await call(async () => new Response('<html>'))).title).toBe('Something went wrong')
})

test('a refusal is told in its own words', async () => {
  const answer = Response.json({ title: 'Forbidden', detail: 'Admins only.' }, { status: 403 })
  expect(await call(async () => answer)).toMatchObject({ status: 403, message: 'Admins only.' })
})
