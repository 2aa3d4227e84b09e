import { ChevronRight, Undo2 } from 'lucide-react'
import { useState } from 'react'
import { type ChangedFile, type Turn, type UndoneFile, useUndo } from '@/api/agent'
import { Confirm } from '../confirm'
import { Button } from '../ui/button'
import { Notice } from '../ui/notice'
import { Counts, DiffView } from './diff-view'

type Props = { chat: string; turn: Turn; disabled: boolean }

/** The files that a turn changed, and how to take that back: all of it, or one file. */
export function Changes({ chat, turn, disabled }: Props) {
  const undo = useUndo(chat)
  const [asking, setAsking] = useState<{ path?: string }>()
  const files = turn.files ?? []
  const one = files.length === 1 ? files[0]?.path : undefined
  const what = asking?.path ?? one ?? `${files.length} files`
  const open = files.some(canUndo)
  const kept = undo.data?.filter(isKept) ?? []
  return (
    <section aria-label="Changes" className="overflow-hidden rounded-lg border bg-card text-[0.8125rem]">
      <div className="flex min-h-9 items-center gap-2 border-b py-0.5 pr-0.5 pl-2.5">
        <h3 className="flex-1 font-medium">
          {files.length === 1 ? '1 file changed' : `${files.length} files changed`}
        </h3>
        {open && (
          <Button size="sm" variant="ghost" disabled={disabled} onClick={() => setAsking({})}>
            <Undo2 aria-hidden />
            {files.length === 1 ? 'Undo' : 'Undo all'}
          </Button>
        )}
      </div>
      <ul className="divide-y">
        {files.map((file) => (
          <li key={file.path}>
            <File
              file={file}
              onUndo={files.length > 1 && !disabled ? () => setAsking({ path: file.path }) : undefined}
            />
          </li>
        ))}
      </ul>
      {kept.length > 0 && (
        <div className="border-t p-2.5">
          <Notice title="Not everything was undone">
            <ul className="grid gap-1">
              {kept.map(({ path, reason }) => (
                <li key={path}>
                  <span className="font-mono text-xs">{path}</span>: {reason ?? 'it was changed since.'}
                </li>
              ))}
            </ul>
          </Notice>
        </div>
      )}
      {asking && (
        <Confirm
          title={`Undo the changes of ${what}?`}
          description="What the agent did to it in this turn is taken back. Your own changes, your branches and what you staged stay as they are."
          action="Undo"
          busy="Undoing…"
          failed="It was not undone"
          act={undo}
          onConfirm={() =>
            undo.mutate({ messageId: turn.messageId, ...asking }, { onSuccess: () => setAsking(undefined) })
          }
          onClose={() => setAsking(undefined)}
        />
      )}
    </section>
  )
}

const canUndo = ({ undone, notKept }: ChangedFile) => !undone && !notKept
const isKept = ({ result }: UndoneFile) => result === 'conflict' || result === 'failed'

const words: Record<string, string> = { added: 'new', created: 'new', deleted: 'deleted', renamed: 'renamed' }

function File({ file, onUndo }: { file: ChangedFile; onUndo: (() => void) | undefined }) {
  const { path, status, diff, undone, notKept } = file
  const word = undone ? 'undone' : notKept ? 'cannot be undone' : words[status]
  const line = (
    <>
      <span className="min-w-0 flex-1 truncate font-mono text-xs" title={path}>
        {path}
      </span>
      {word && <span className="shrink-0 text-xs text-muted">{word}</span>}
      {diff && <Counts text={diff} />}
    </>
  )
  const undoButton = onUndo && canUndo(file) && (
    <Button size="icon" variant="ghost" aria-label={`Undo ${path}`} title={`Undo ${path}`} onClick={onUndo}>
      <Undo2 aria-hidden className="size-3.5!" />
    </Button>
  )
  if (!diff)
    return (
      <div className="flex min-h-9 items-center gap-1 pr-0.5">
        <span className="flex min-w-0 flex-1 items-center gap-2 pl-2.5">{line}</span>
        {undoButton}
      </div>
    )
  return (
    <div className="relative">
      <details className="group/file">
        <summary
          className={`flex min-h-9 cursor-pointer list-none items-center gap-2 pl-2.5 -outline-offset-2 hover:bg-hover [&::-webkit-details-marker]:hidden ${undoButton ? 'pr-10' : 'pr-2.5'}`}
        >
          <ChevronRight
            aria-hidden
            className="size-3.5 shrink-0 text-muted transition-transform group-open/file:rotate-90"
          />
          {line}
        </summary>
        <div className="border-t bg-background">
          <DiffView text={diff} label={`Changes in ${path}`} />
        </div>
      </details>
      <div className="absolute top-0.5 right-0.5">{undoButton}</div>
    </div>
  )
}
