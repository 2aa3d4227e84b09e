export type DiffLine = {
  kind: 'added' | 'removed' | 'same' | 'gap' | 'file'
  text: string
  /** Its number in the new file; in the old one, where it was removed. */
  number?: number
}

export type Diff = { lines: DiffLine[]; added: number; removed: number; cut: boolean }

const hunk = /^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/
const oldStart = /^@@ -(\d+)/

/**
 * Reads a unified diff of one file or several. Lines beyond `most` are counted and not kept, so that a
 * diff of a generated file does not stop the page.
 */
export function parseDiff(text: string, most = 2000): Diff {
  const diff: Diff = { lines: [], added: 0, removed: 0, cut: false }
  const keep = (line: DiffLine) => {
    if (diff.lines.length < most) diff.lines.push(line)
    else diff.cut = true
  }
  let oldLeft = 0
  let newLeft = 0
  let oldAt = 0
  let newAt = 0
  for (const line of text.replace(/\r?\n$/, '').split(/\r?\n/)) {
    if (oldLeft > 0 || newLeft > 0) {
      const rest = line.slice(1)
      if (line.startsWith('+')) {
        newLeft--
        diff.added++
        keep({ kind: 'added', text: rest, number: newAt++ })
      } else if (line.startsWith('-')) {
        oldLeft--
        diff.removed++
        keep({ kind: 'removed', text: rest, number: oldAt++ })
      } else if (!line.startsWith('\\')) {
        oldLeft--
        newLeft--
        oldAt++
        keep({ kind: 'same', text: rest, number: newAt++ })
      }
      continue
    }
    const header = hunk.exec(line)
    if (header) {
      oldLeft = Number(header[1] ?? 1)
      newLeft = Number(header[3] ?? 1)
      oldAt = Number(oldStart.exec(line)?.[1])
      newAt = Number(header[2])
      if (diff.lines.length > 0 && diff.lines.at(-1)?.kind !== 'file') keep({ kind: 'gap', text: '' })
    } else if (line.startsWith('diff --git ')) {
      keep({ kind: 'file', text: / b\/(.+)$/.exec(line)?.[1] ?? line.slice('diff --git '.length) })
    } else if (line.startsWith('Binary files ')) {
      keep({ kind: 'file', text: line })
    }
  }
  return diff
}

/** "+12 −3"; nothing where nothing changed. */
export function countsText({ added, removed }: Pick<Diff, 'added' | 'removed'>): string {
  return [added > 0 && `+${added}`, removed > 0 && `−${removed}`].filter(Boolean).join(' ')
}
