import type { ReactNode } from 'react'
import { dollars, shortCount } from '@/lib/money'

/** What agents used, in tokens and money. */
export function UseTable({ label, first, children }: { label: string; first: string; children: ReactNode }) {
  return (
    <div className="overflow-x-auto rounded-xl border bg-card">
      <table className="w-full text-left text-[0.8125rem]">
        <caption className="sr-only">{label}</caption>
        <thead className="text-muted">
          <tr className="border-b">
            <th className="px-4 py-2.5 font-medium sm:px-5">{first}</th>
            <th className="px-4 py-2.5 text-right font-medium">Tokens</th>
            <th className="px-4 py-2.5 text-right font-medium sm:px-5">Cost</th>
          </tr>
        </thead>
        <tbody className="divide-y">{children}</tbody>
      </table>
    </div>
  )
}

type RowProps = { name: ReactNode; cost: number; ownCost: number; tokens: number }

export function UseRow({ name, cost, ownCost, tokens }: RowProps) {
  return (
    <tr>
      <th scope="row" className="px-4 py-2.5 font-normal wrap-anywhere sm:px-5">
        {name}
      </th>
      <td className="px-4 py-2.5 text-right whitespace-nowrap tabular-nums">{shortCount(tokens)}</td>
      <td className="px-4 py-2.5 text-right whitespace-nowrap tabular-nums sm:px-5">
        {dollars(cost)}
        {ownCost > 0 && <span className="block text-xs text-muted">{dollars(ownCost)} with own keys</span>}
      </td>
    </tr>
  )
}
