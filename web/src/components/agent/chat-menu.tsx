import { useQuery } from '@tanstack/react-query'
import { Check, ChevronDown, Pencil, Trash2 } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { type Chat, chatsQuery, useDeleteChat, useRenameChat } from '@/api/agent'
import { Confirm } from '../confirm'
import { ProblemNotice } from '../problem-notice'
import { TimeAgo } from '../time-ago'
import { Button } from '../ui/button'
import { Dialog, DialogActions, DialogClose } from '../ui/dialog'
import { Field } from '../ui/field'
import { Menu, MenuItem, MenuLabel, MenuSeparator } from '../ui/menu'

type Props = {
  workspace: string
  current: string
  onOpen: (chat: string) => void
  /** The chat that is open was deleted. */
  onGone: () => void
}

const states: Record<string, string> = {
  running: 'at work',
  waiting: 'waits for you',
  interrupted: 'interrupted',
}

export const chatTitle = (chat: Chat | undefined) => chat?.title || 'New chat'

/** The chat that is open, and the earlier ones of the workspace. */
export function ChatMenu({ workspace, current, onOpen, onGone }: Props) {
  const chats = useQuery(chatsQuery(workspace))
  const [dialog, setDialog] = useState<'rename' | 'delete'>()
  const remove = useDeleteChat(workspace)
  const chat = chats.data?.find(({ id }) => id === current)
  const close = () => setDialog(undefined)
  return (
    <>
      <Menu
        align="start"
        trigger={
          <Button variant="ghost" size="sm" className="max-w-full min-w-0 shrink pl-2">
            <span className="sr-only">Chat: </span>
            <span className="truncate">{chatTitle(chat)}</span>
            <ChevronDown aria-hidden className="text-muted" />
          </Button>
        }
      >
        {chat && (
          <>
            <MenuItem onSelect={() => setDialog('rename')}>
              <Pencil aria-hidden />
              Rename
            </MenuItem>
            <MenuItem danger onSelect={() => setDialog('delete')}>
              <Trash2 aria-hidden />
              Delete
            </MenuItem>
            <MenuSeparator />
          </>
        )}
        <MenuLabel className="px-2.5 py-1.5 text-xs text-muted">
          {chats.error ? 'The chats could not be read.' : chats.data?.length ? 'Chats' : 'No chats yet'}
        </MenuLabel>
        <div className="max-h-[50dvh] w-72 max-w-[80vw] overflow-y-auto">
          {chats.data?.map((one) => (
            <MenuItem key={one.id} className="h-auto py-1.5" onSelect={() => onOpen(one.id)}>
              <span className="grid min-w-0 flex-1">
                <span className="truncate">{chatTitle(one)}</span>
                <span className="text-xs text-muted">
                  {states[one.state] && `${states[one.state]} · `}
                  <TimeAgo time={one.updatedAt} />
                </span>
              </span>
              {one.id === current && (
                <>
                  <Check aria-hidden />
                  <span className="sr-only">, open</span>
                </>
              )}
            </MenuItem>
          ))}
        </div>
      </Menu>
      {dialog === 'rename' && chat && <RenameDialog workspace={workspace} chat={chat} onClose={close} />}
      {dialog === 'delete' && chat && (
        <Confirm
          title={`Delete “${chatTitle(chat)}”?`}
          description="The conversation goes for good, and what it changed can no longer be undone from here. The files stay as they are."
          action="Delete"
          busy="Deleting…"
          failed="It was not deleted"
          act={remove}
          onConfirm={() =>
            remove.mutate(chat.id, {
              onSuccess: () => {
                close()
                onGone()
              },
            })
          }
          onClose={close}
        />
      )}
    </>
  )
}

function RenameDialog({ workspace, chat, onClose }: { workspace: string; chat: Chat; onClose: () => void }) {
  const [title, setTitle] = useState(chat.title)
  const rename = useRenameChat(workspace)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    rename.mutate({ chat: chat.id, title: title.trim() }, { onSuccess: onClose })
  }
  return (
    <Dialog open onOpenChange={onClose} title="Rename the chat" description="The name is yours alone.">
      <form onSubmit={submit} className="grid gap-5">
        <Field
          label="Name"
          required
          maxLength={100}
          value={title}
          onChange={(event) => setTitle(event.target.value)}
        />
        {rename.error && <ProblemNotice error={rename.error} title="It was not renamed" />}
        <DialogActions>
          <DialogClose asChild>
            <Button variant="ghost">Cancel</Button>
          </DialogClose>
          <Button type="submit" variant="primary" disabled={rename.isPending || !title.trim()}>
            Rename
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
