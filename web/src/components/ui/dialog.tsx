import { Dialog as Radix } from 'radix-ui'
import type { ReactNode } from 'react'

type Props = {
  open: boolean
  onOpenChange: (open: boolean) => void
  title: string
  description: ReactNode
  alert?: boolean
  children: ReactNode
}

export function Dialog({ open, onOpenChange, title, description, alert, children }: Props) {
  return (
    <Radix.Root open={open} onOpenChange={onOpenChange}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-black/65 backdrop-blur-[2px]" />
        <Radix.Content
          role={alert ? 'alertdialog' : 'dialog'}
          className="fixed inset-x-4 top-[18vh] z-50 mx-auto grid max-h-[76dvh] max-w-md animate-in gap-5 rounded-xl border border-input bg-raised overflow-y-auto p-5 shadow-2xl shadow-shadow outline-none sm:p-6"
        >
          <div className="grid gap-2">
            <Radix.Title className="text-base font-semibold break-words">{title}</Radix.Title>
            <Radix.Description className="text-sm break-words text-soft">{description}</Radix.Description>
          </div>
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  )
}

export const DialogClose = Radix.Close

export function DialogActions({ children }: { children: ReactNode }) {
  return <div className="flex justify-end gap-3">{children}</div>
}
