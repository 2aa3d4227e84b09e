import '@/lib/no-eval'
import { useQuery } from '@tanstack/react-query'
import { Plus, X } from 'lucide-react'
import { useCallback, useEffect, useState } from 'react'
import { chatQuery, chatsQuery, type Models, modelsQuery } from '@/api/agent'
import { asProblem } from '@/api/problem'
import type { Workspace } from '@/api/types'
import { newChatId, recallChat, rememberChat } from '@/lib/agent-view'
import { Skeleton } from '../loaded'
import { ProblemNotice } from '../problem-notice'
import { Button } from '../ui/button'
import { ChatMenu } from './chat-menu'
import { Conversation } from './conversation'

type Props = { workspace: Workspace; focus: boolean; onClose: () => void }

/** Which chat is open; `begins`: it is a new one, of which the server knows nothing yet. */
type Open = { id: string; begins: boolean }

const begin = (): Open => ({ id: newChatId(), begins: true })

/** The agent of a workspace, beside VS Code. */
export default function AgentPanel({ workspace, focus, onClose }: Props) {
  const models = useQuery(modelsQuery)
  const chats = useQuery(chatsQuery(workspace.id))
  const [open, setOpen] = useState<Open>()
  const [chosen, setChosen] = useState(false)
  // What was open here last, else what was used last, else a new chat.
  const list = chats.data
  useEffect(() => {
    if (open || !list) return
    const id = list.find(({ id }) => id === recallChat(workspace.id))?.id ?? list[0]?.id
    setOpen(id ? { id, begins: false } : begin())
  }, [open, list, workspace.id])

  const show = (next: Open) => {
    setChosen(true)
    setOpen(next)
    rememberChat(workspace.id, next.begins ? undefined : next.id)
  }
  const error = models.error ?? (open ? undefined : chats.error)

  return (
    <section aria-label="Agent" className="flex min-h-0 min-w-0 flex-1 flex-col bg-background">
      <div className="flex h-10 shrink-0 items-center gap-0.5 border-b px-1.5">
        <h2 className="sr-only">Agent</h2>
        <div className="flex min-w-0 flex-1">
          {open && (
            <ChatMenu
              workspace={workspace.id}
              current={open.id}
              onOpen={(id) => show({ id, begins: false })}
              onGone={() => show(begin())}
            />
          )}
        </div>
        <Button
          variant="ghost"
          size="icon"
          aria-label="New chat"
          title="New chat"
          onClick={() => show(begin())}
        >
          <Plus aria-hidden />
        </Button>
        <Button variant="ghost" size="icon" aria-label="Close the agent" title="Close" onClick={onClose}>
          <X aria-hidden />
        </Button>
      </div>
      {error ? (
        <div className="p-3">
          <ProblemNotice
            error={error}
            action={
              <Button
                size="sm"
                onClick={() => {
                  void models.refetch()
                  void chats.refetch()
                }}
              >
                Try again
              </Button>
            }
          />
        </div>
      ) : models.data && open ? (
        <OpenChat
          key={open.id}
          workspace={workspace}
          open={open}
          models={models.data}
          focus={focus || chosen}
          onGone={() => show(begin())}
        />
      ) : (
        <Loading />
      )}
    </section>
  )
}

const Loading = () => (
  <div className="p-3">
    <Skeleton label="Loading the agent" rows={2} />
  </div>
)

type OpenProps = {
  workspace: Workspace
  open: Open
  models: Models
  focus: boolean
  onGone: () => void
}

function OpenChat({ workspace, open: { id, begins }, models, focus, onGone }: OpenProps) {
  // A chat that was begun here is read from the server once it is read anew.
  const [fresh, setFresh] = useState(begins)
  const [version, setVersion] = useState(0)
  const [visit] = useState(newChatId)
  const chat = useQuery({ ...chatQuery(id, `${visit} ${version}`), enabled: !fresh })
  const reload = useCallback(() => {
    setFresh(false)
    setVersion((count) => count + 1)
  }, [])

  if (fresh || chat.data)
    return (
      <Conversation
        key={version}
        workspace={workspace}
        id={id}
        chat={chat.data?.chat}
        history={chat.data?.messages ?? []}
        models={models}
        focus={focus}
        onReload={reload}
      />
    )
  if (!chat.error) return <Loading />
  return (
    <div className="p-3">
      <ProblemNotice
        error={chat.error}
        action={
          asProblem(chat.error).status === 404 ? (
            <Button size="sm" onClick={onGone}>
              New chat
            </Button>
          ) : (
            <Button size="sm" onClick={() => void chat.refetch()}>
              Try again
            </Button>
          )
        }
      />
    </div>
  )
}
