/**
 * The address if it is one of the web that a page may lead to; undefined for everything else: scripts, data,
 * addresses of this console, and names of files, which a model writes as links too.
 */
export function webLink(href: unknown): string | undefined {
  if (typeof href !== 'string' || !/^https?:\/\//i.test(href)) return undefined
  try {
    const url = new URL(href)
    return url.username || url.password ? undefined : url.href
  } catch {
    return undefined
  }
}
