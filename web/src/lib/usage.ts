import type { UsageBy } from '@/api/agent'

export type UsageSearch = { by?: UsageBy; days?: number }

export const usageKinds: { value: UsageBy; text: string }[] = [
  { value: 'person', text: 'Person' },
  { value: 'workspace', text: 'Workspace' },
  { value: 'model', text: 'Model' },
]

export const usageSpans = [
  { value: '1', text: 'Today' },
  { value: '7', text: '7 days' },
  { value: '30', text: '30 days' },
  { value: '365', text: '1 year' },
]

/** Reads the address of the page of use. */
export function usageSearch({ by, days }: Record<string, unknown>): UsageSearch {
  const kind = usageKinds.find(({ value }) => value === by)?.value
  const span = usageSpans.find(({ value }) => value === String(days))?.value
  return { ...(kind && { by: kind }), ...(span && { days: Number(span) }) }
}

/** The first of so many days up to now, "2026-11-24": days end at midnight UTC, as budgets do. */
export function sinceDay(days: number, now: number): string {
  return new Date(now - (days - 1) * 86_400_000).toISOString().slice(0, 10)
}
