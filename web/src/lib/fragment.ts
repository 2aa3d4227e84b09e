import { useEffect, useState } from 'react'

/**
 * The secret that a link carries after #. It is taken out of the address bar, also when another link is
 * pasted into this tab; `onChange` runs then.
 */
export function useFragment(onChange: () => void): string {
  const [secret, setSecret] = useState(() => window.location.hash.slice(1))
  useEffect(() => {
    const take = () => {
      const hash = window.location.hash.slice(1)
      if (!hash) return
      setSecret(hash)
      onChange()
      window.history.replaceState(window.history.state, '', window.location.pathname + window.location.search)
    }
    take()
    window.addEventListener('hashchange', take)
    return () => window.removeEventListener('hashchange', take)
  }, [onChange])
  return secret
}
