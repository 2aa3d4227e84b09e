const key = 'kalpana.next'

/**
 * Returns where to go after signing in if `next` is an absolute path of this origin, else undefined.
 * Browsers drop tabs and newlines and read a backslash as a slash, so all of these are refused
 * rather than repaired.
 */
export function safeNext(next: unknown): string | undefined {
  if (typeof next !== 'string' || !next.startsWith('/')) return undefined
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f\\]/.test(next) || next.startsWith('//')) return undefined
  const url = new URL(next, 'https://console.invalid')
  if (url.origin !== 'https://console.invalid' || url.pathname.startsWith('//')) return undefined
  if (url.pathname === '/' || url.pathname === '/login' || url.pathname.startsWith('/login/'))
    return undefined
  return url.pathname + url.search + url.hash
}

/**
 * What is not a page of this app is answered by the server: the hand-off to a workspace host, and
 * whatever else the operator serves and protects on the console's host.
 */
export function isServerRoute(path: string): boolean {
  return !/^\/(workspaces|w|settings|admin|invite)(?=[/?#]|$)/.test(path)
}

export function rememberNext(next: string | undefined): void {
  try {
    if (next) sessionStorage.setItem(key, next)
  } catch {
    // Storage may be blocked; then only the address carries it.
  }
}

/** Where the person was heading: what the address says, else what an earlier visit left. */
export function recallNext(fromAddress: unknown): string | undefined {
  let stored: string | null = null
  try {
    stored = sessionStorage.getItem(key)
  } catch {
    // See rememberNext.
  }
  return safeNext(fromAddress) ?? safeNext(stored)
}

export function forgetNext(): void {
  try {
    sessionStorage.removeItem(key)
  } catch {
    // See rememberNext.
  }
}

export function takeNext(fromAddress: unknown): string | undefined {
  const next = recallNext(fromAddress)
  forgetNext()
  return next
}

/** Leaves the sign-in pages. */
export function goTo(path: string | undefined, history: { replace: (path: string) => void }): void {
  if (path && isServerRoute(path)) window.location.replace(path)
  else history.replace(path ?? '/workspaces')
}
