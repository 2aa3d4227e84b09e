import { type FormEvent, useId, useState } from 'react'
import { useSchedule } from '@/api/queries'
import type { Workspace } from '@/api/types'
import { browserZone, days, draftOf, readDraft, zones } from '@/lib/schedule'
import { ProblemNotice } from './problem-notice'
import { Button } from './ui/button'
import { Dialog, DialogActions, DialogClose } from './ui/dialog'
import { Select } from './ui/select'
import { Switch } from './ui/switch'

/** When a workspace wakes and stops by the clock. */
export function ScheduleDialog({ workspace, onClose }: { workspace: Workspace; onClose: () => void }) {
  const [draft, setDraft] = useState(() => draftOf(workspace.schedule, browserZone()))
  const [fault, setFault] = useState<string>()
  const save = useSchedule(workspace.id)
  const off = !draft.wake && !draft.stop
  const change = (fields: Partial<typeof draft>) => {
    setDraft({ ...draft, ...fields })
    setFault(undefined)
  }

  const submit = (event: FormEvent) => {
    event.preventDefault()
    const schedule = readDraft(draft)
    if (typeof schedule === 'string') return setFault(schedule)
    save.mutate(schedule, { onSuccess: onClose })
  }

  return (
    <Dialog
      open
      onOpenChange={onClose}
      title={`Schedule of ${workspace.name}`}
      description="It is stopped and woken at these times, used or not, unless you keep it awake. In between it sleeps and wakes as ever."
    >
      <form onSubmit={submit} className="grid gap-5">
        <TimeOfDay
          label="Wake at"
          on={draft.wake}
          time={draft.wakeAt}
          onChange={(wake, wakeAt) => change({ wake, wakeAt })}
        />
        <TimeOfDay
          label="Stop at"
          on={draft.stop}
          time={draft.stopAt}
          onChange={(stop, stopAt) => change({ stop, stopAt })}
        />
        {!off && (
          <>
            <fieldset>
              <legend className="mb-2 text-[0.8125rem] font-medium">Days</legend>
              <div className="flex flex-wrap gap-1.5">
                {days.map(({ value, text, short }) => {
                  const on = draft.days.includes(value)
                  return (
                    <label
                      key={value}
                      className="relative rounded-md border border-input px-2.5 py-1 text-[0.8125rem] text-muted transition-colors has-checked:border-primary has-checked:bg-primary/10 has-checked:text-foreground has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-primary"
                    >
                      <input
                        type="checkbox"
                        className="absolute inset-0 cursor-pointer opacity-0"
                        aria-label={text}
                        checked={on}
                        onChange={() =>
                          change({
                            days: on ? draft.days.filter((day) => day !== value) : [...draft.days, value],
                          })
                        }
                      />
                      <span aria-hidden>{short}</span>
                    </label>
                  )
                })}
              </div>
            </fieldset>
            <Select
              label="Time zone"
              value={draft.zone}
              options={zones(draft.zone).map((zone) => ({ value: zone, text: zone.replaceAll('_', ' ') }))}
              onChange={(event) => change({ zone: event.target.value })}
            />
          </>
        )}
        <p role="status" className="text-[0.8125rem] text-muted empty:hidden">
          {off && 'Both are off: it has no schedule.'}
        </p>
        {fault && (
          <p role="alert" className="text-[0.8125rem] text-destructive">
            {fault}
          </p>
        )}
        {save.error && <ProblemNotice error={save.error} title="The schedule was not changed" />}
        <DialogActions>
          <DialogClose asChild>
            <Button variant="ghost">Cancel</Button>
          </DialogClose>
          <Button type="submit" variant="primary" disabled={save.isPending}>
            {save.isPending ? 'Saving…' : off ? 'Clear the schedule' : 'Save'}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

type TimeProps = { label: string; on: boolean; time: string; onChange: (on: boolean, time: string) => void }

function TimeOfDay({ label, on, time, onChange }: TimeProps) {
  const id = useId()
  return (
    <div className="grid min-h-10 grid-cols-[1fr_auto] items-center gap-4">
      <Switch label={label} checked={on} onChange={(on) => onChange(on, time)} />
      <input
        id={id}
        type="time"
        aria-label={`${label}, time`}
        value={time}
        disabled={!on}
        onChange={(event) => onChange(on, event.target.value)}
        className="h-10 rounded-md border border-input bg-card px-3 text-base transition-colors enabled:hover:border-muted/60 disabled:opacity-50 sm:text-sm"
      />
    </div>
  )
}
