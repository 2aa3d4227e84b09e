import { type FormEvent, useState } from 'react'
import { asProblem } from '@/api/problem'
import { useDelete, useDo, useRename } from '@/api/queries'
import type { Workspace } from '@/api/types'
import { Confirm } from './confirm'
import { ProblemNotice } from './problem-notice'
import { Button } from './ui/button'
import { Dialog, DialogActions, DialogClose } from './ui/dialog'
import { Field } from './ui/field'

type Props = { workspace: Workspace; onClose: () => void }

export function RenameDialog({ workspace, onClose }: Props) {
  const [name, setName] = useState(workspace.name)
  const rename = useRename(workspace.id)
  const fieldError = rename.error ? asProblem(rename.error).fields.name : undefined

  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (name.trim() === workspace.name) return onClose()
    rename.mutate(name.trim(), { onSuccess: onClose })
  }

  return (
    <Dialog open onOpenChange={onClose} title="Rename workspace" description="Its address stays the same.">
      <form onSubmit={submit} className="grid gap-5">
        <Field
          label="Name"
          required
          value={name}
          error={fieldError}
          onChange={(event) => setName(event.target.value)}
          onFocus={(event) => event.target.select()}
        />
        {rename.error && !fieldError && <ProblemNotice error={rename.error} />}
        <DialogActions>
          <DialogClose asChild>
            <Button variant="ghost">Cancel</Button>
          </DialogClose>
          <Button type="submit" variant="primary" disabled={rename.isPending || !name.trim()}>
            Rename
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

export function DeleteDialog({ workspace, onClose }: Props) {
  const remove = useDelete()
  return (
    <Confirm
      title={`Delete ${workspace.name}?`}
      description="Its container, its files and its record are deleted for good. What you have not pushed elsewhere is lost."
      action="Delete for good"
      busy="Deleting…"
      cancel="Keep it"
      failed="It was not deleted"
      act={remove}
      onConfirm={() => remove.mutate(workspace.id, { onSuccess: onClose })}
      onClose={onClose}
    />
  )
}

export function RebuildDialog({ workspace, onClose }: Props) {
  const rebuild = useDo(workspace.id)
  return (
    <Confirm
      title={`Rebuild ${workspace.name}?`}
      description="It gets a new container of the current image, and starts. Everything in the home folder stays: files, settings, extensions. What was installed outside of it goes, such as packages, and what runs is ended."
      action="Rebuild"
      busy="Rebuilding…"
      failed="It was not rebuilt"
      act={rebuild}
      onConfirm={() => rebuild.mutate('rebuild', { onSuccess: onClose })}
      onClose={onClose}
    />
  )
}
