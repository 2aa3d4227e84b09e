import { expect, test } from 'vitest'
import { asProblem, Problem, toProblem } from './problem'

test('reads a problem document', () => {
  const problem = toProblem(422, {
    title: 'Unprocessable Entity',
    status: 422,
    detail: 'validation failed',
    errors: [
      { message: 'expected length <= 64', location: 'body.name', value: 'x' },
      { message: 'a second one', location: 'body.name' },
      { message: 'unknown', location: 'body' },
    ],
  })
  expect(problem.message).toBe('validation failed')
  expect(problem.fields).toEqual({ name: 'expected length <= 64', '': 'unknown' })
})

test('falls back to the title', () => {
  expect(toProblem(409, { title: 'Conflict' }).message).toBe('Conflict')
})

test.each([['<html>Bad gateway</html>'], [undefined], [null]])('survives %j', (body) => {
  expect(toProblem(502, body)).toMatchObject({ status: 502, message: expect.stringContaining('502') })
})

test('survives malformed errors', () => {
  expect(toProblem(400, { detail: 'no', errors: [null, 3, { location: 'body.x' }] }).fields).toEqual({})
  expect(toProblem(400, { detail: 'no', errors: 'many' }).fields).toEqual({})
})

test('a bug is not called a lost network', () => {
  expect(asProblem(new TypeError('x is undefined'))).toMatchObject({
    title: 'Something went wrong',
    message: 'x is undefined',
  })
  const problem = new Problem(403, 'Forbidden', 'no')
  expect(asProblem(problem)).toBe(problem)
})
