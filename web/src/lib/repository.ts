/**
 * The https address of a repository, of what people have at hand: that, one for SSH (`git@host:path`), or one without a
 * scheme. Anything else is left for the server to judge.
 */
export function repositoryAddress(text: string): string {
  const address = text.trim()
  const ssh =
    /^(?:ssh:\/\/)(?:[\w.-]+@)?([\w.-]+)(?::\d+)?\/(.+)$/.exec(address) ??
    /^[\w.-]+@([\w.-]+):(?!\/\/)(.+)$/.exec(address)
  if (ssh) return `https://${ssh[1]}/${ssh[2]}`
  return /^[\w-]+(\.[\w-]+)+\/[^\s:@]+$/.test(address) ? `https://${address}` : address
}

/** What a workspace of a repository is called unless somebody says otherwise; empty where the address has no name. */
export function repositoryName(address: string): string {
  const path = /^https?:\/\/[^/?#]+\/([^?#]*)/.exec(repositoryAddress(address))?.[1] ?? ''
  const last = path.replace(/\/+$/, '').split('/').pop() ?? ''
  return last.replace(/\.git$/, '').slice(0, 64)
}
