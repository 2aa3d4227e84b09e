import type { Quota } from '@/api/types'
import { bytesText, gib } from './bytes'
import { dollars, tokensText } from './money'

export type QuotaField = keyof Quota

type Kind = {
  field: QuotaField
  label: string
  unit: number
  whole: boolean
  text: (value: number) => string
}

const count = (word: string) => (value: number) => `${value} ${word}`

/** What a person's use is bound by, as the form and the list show it. `unit` is what one of the form stands for. */
export const quotaFields: Kind[] = [
  { field: 'workspaces', label: 'Workspaces', unit: 1, whole: true, text: count('workspaces') },
  { field: 'running', label: 'Running at a time', unit: 1, whole: true, text: count('running') },
  { field: 'cpus', label: 'Processors of each', unit: 1, whole: false, text: count('processors each') },
  {
    field: 'memory',
    label: 'Memory of each, GiB',
    unit: gib,
    whole: false,
    text: (n) => `${bytesText(n)} memory each`,
  },
  {
    field: 'disk',
    label: 'Disk of each, GiB',
    unit: gib,
    whole: false,
    text: (n) => `${bytesText(n)} disk each`,
  },
  { field: 'pids', label: 'Processes of each', unit: 1, whole: true, text: count('processes each') },
  {
    field: 'agentDayCost',
    label: 'Agents a day, US$',
    unit: 1,
    whole: false,
    text: (n) => `${dollars(n)} a day for agents`,
  },
  {
    field: 'agentMonthCost',
    label: 'Agents a month, US$',
    unit: 1,
    whole: false,
    text: (n) => `${dollars(n)} a month for agents`,
  },
  {
    field: 'agentDayTokens',
    label: 'Agents a day, tokens',
    unit: 1,
    whole: true,
    text: (n) => `${tokensText(n)} a day for agents`,
  },
  {
    field: 'agentMonthTokens',
    label: 'Agents a month, tokens',
    unit: 1,
    whole: true,
    text: (n) => `${tokensText(n)} a month for agents`,
  },
]

const names: Record<QuotaField, string> = {
  workspaces: 'workspaces',
  running: 'running',
  cpus: 'processors',
  memory: 'memory',
  disk: 'disk',
  pids: 'processes',
  agentDayCost: 'money a day for agents',
  agentMonthCost: 'money a month for agents',
  agentDayTokens: 'tokens a day for agents',
  agentMonthTokens: 'tokens a month for agents',
}

/** What differs from everybody's: "2 running, 8 GiB memory each"; empty where nothing does. */
export function quotaText(quota: Quota): string {
  return quotaFields
    .flatMap(({ field, text }) => {
      const value = quota[field] ?? 0
      if (value === 0) return []
      return value < 0 ? `unlimited ${names[field]}` : text(value)
    })
    .join(', ')
}

export type QuotaDraft = Record<QuotaField, string>

export function quotaDraft(quota: Quota): QuotaDraft {
  const text = ({ field, unit }: Kind) => {
    const value = quota[field] ?? 0
    if (value === 0) return ''
    return value < 0 ? 'unlimited' : `${Number((value / unit).toPrecision(6))}`
  }
  return Object.fromEntries(quotaFields.map((kind) => [kind.field, text(kind)])) as QuotaDraft
}

/** Reads the form: the quota, or what is wrong with its fields. */
export function readQuota(draft: QuotaDraft): { quota: Quota; faults: Partial<QuotaDraft> } {
  const quota: Quota = {}
  const faults: Partial<QuotaDraft> = {}
  for (const { field, unit, whole } of quotaFields) {
    const text = draft[field].trim().replace(',', '.')
    if (!text) continue
    if (text.toLowerCase() === 'unlimited') {
      quota[field] = -1
      continue
    }
    const value = Number(text)
    if (!/^\d+(\.\d+)?$/.test(text) || value <= 0 || (whole && !Number.isInteger(value)))
      faults[field] = whole
        ? 'Give a whole number from 1 on, or: unlimited.'
        : 'Give a number above 0, or: unlimited.'
    else quota[field] = unit === 1 ? value : Math.round(value * unit)
  }
  return { quota, faults }
}
