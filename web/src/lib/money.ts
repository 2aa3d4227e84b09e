/** "$3.20"; cents of a cent where it is that little, "under $0.0001" below. */
export function dollars(amount: number): string {
  if (!(amount > 0)) return '$0.00'
  if (amount < 0.0001) return 'under $0.0001'
  return `$${amount.toFixed(amount < 0.1 ? 4 : 2)}`
}

const counts: [number, string][] = [
  [1_000_000_000, 'G'],
  [1_000_000, 'M'],
  [1_000, 'k'],
]

/** "12.3k tokens". */
export function tokensText(count: number): string {
  return `${shortCount(count)} ${count === 1 ? 'token' : 'tokens'}`
}

export function shortCount(count: number): string {
  for (const [size, unit] of counts)
    if (count >= size) return `${Number((count / size).toPrecision(3))}${unit}`
  return `${count}`
}
