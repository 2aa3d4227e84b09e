/** A failed call, told as RFC 9457 does. Status 0 means that no answer came. */
export class Problem extends Error {
  readonly status: number
  readonly title: string
  readonly fields: Record<string, string>

  constructor(status: number, title: string, detail: string, fields: Record<string, string> = {}) {
    super(detail || title)
    this.name = 'Problem'
    this.status = status
    this.title = title
    this.fields = fields
  }
}

const text = (value: unknown) => (typeof value === 'string' ? value : '')

/** Reads a problem document, or makes the best of whatever else came back (a proxy's page, nothing). */
export function toProblem(status: number, body: unknown): Problem {
  if (typeof body !== 'object' || body === null) {
    return new Problem(status, `Error ${status}`, `The server answered with status ${status}. Try again.`)
  }
  const { title, detail, errors } = body as Record<string, unknown>
  return new Problem(status, text(title) || `Error ${status}`, text(detail), fieldErrors(errors))
}

/** Locations look like "body.name"; what concerns the body as a whole is kept under "". */
function fieldErrors(errors: unknown): Record<string, string> {
  const fields: Record<string, string> = {}
  if (!Array.isArray(errors)) return fields
  for (const item of errors as unknown[]) {
    if (typeof item !== 'object' || item === null) continue
    const { message, location } = item as Record<string, unknown>
    const name = text(location).replace(/^body\.?/, '')
    if (text(message)) fields[name] ??= text(message)
  }
  return fields
}

/** What is told where no answer came. */
export function unreachable(): Problem {
  return new Problem(
    0,
    'Kalpana cannot be reached',
    'No answer came from the server. Check your connection and try again.',
  )
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  return new Problem(0, 'Something went wrong', error instanceof Error ? error.message : String(error))
}
