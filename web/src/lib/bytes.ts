const units = ['KiB', 'MiB', 'GiB', 'TiB']

export const gib = 1024 ** 3

/** "1.4 GiB"; three digits at most. */
export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  let value = bytes
  let unit = ''
  for (const next of units) {
    if (value < 999.5 && unit) break
    value /= 1024
    unit = next
  }
  return `${Number(value.toPrecision(3))} ${unit}`
}

/** From this share of its limit on, a disk is nearly full. */
const nearlyFull = 0.8

export type DiskUse = { text: string; share: number | undefined; warn: boolean; full: boolean }

/** How full the disk of a workspace is; undefined before it was measured. `limit` 0 is no limit. */
export function diskUse(used: number, limit: number): DiskUse | undefined {
  if (used <= 0) return undefined
  if (limit <= 0) return { text: bytesText(used), share: undefined, warn: false, full: false }
  const share = used / limit
  return {
    text: `${bytesText(used)} of ${bytesText(limit)} (${Math.floor(share * 100)} %)`,
    share: Math.min(share, 1),
    warn: share >= nearlyFull,
    full: share >= 1,
  }
}
