import { type FormEvent, useState } from 'react'
import { useChangePerson } from '@/api/people'
import type { Person, Quota } from '@/api/types'
import { quotaDraft, quotaFields, readQuota } from '@/lib/quota'
import { ProblemNotice } from './problem-notice'
import { Button } from './ui/button'
import { Dialog, DialogActions, DialogClose } from './ui/dialog'
import { Field } from './ui/field'

type Props = { person: Person; defaults: Quota; onClose: () => void }

/** What a person may use, where that is not as for everybody. */
export function QuotaDialog({ person, defaults, onClose }: Props) {
  const usual = quotaDraft(defaults)
  const [draft, setDraft] = useState(() => quotaDraft(person.quota))
  const [faults, setFaults] = useState<ReturnType<typeof readQuota>['faults']>({})
  const change = useChangePerson()

  const submit = (event: FormEvent) => {
    event.preventDefault()
    const { quota, faults } = readQuota(draft)
    setFaults(faults)
    if (Object.keys(faults).length === 0) change.mutate({ id: person.id, quota }, { onSuccess: onClose })
  }

  return (
    <Dialog
      open
      onOpenChange={onClose}
      title={`Quota of ${person.name}`}
      description="What is left empty is as for everybody, shown in grey; unlimited is no bound. Processors, memory, disk and processes count from a workspace’s next start on."
    >
      <form onSubmit={submit} className="grid gap-5" noValidate>
        <div className="grid grid-cols-2 items-start gap-4">
          {quotaFields.map(({ field, label, whole }) => (
            <Field
              key={field}
              label={label}
              inputMode={whole ? 'numeric' : 'decimal'}
              placeholder={usual[field]}
              value={draft[field]}
              error={faults[field]}
              onChange={(event) => setDraft({ ...draft, [field]: event.target.value })}
            />
          ))}
        </div>
        {change.error && <ProblemNotice error={change.error} title="The quota was not changed" />}
        <DialogActions>
          <DialogClose asChild>
            <Button variant="ghost">Cancel</Button>
          </DialogClose>
          <Button type="submit" variant="primary" disabled={change.isPending}>
            {change.isPending ? 'Saving…' : 'Save'}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
