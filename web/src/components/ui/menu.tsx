import { DropdownMenu } from 'radix-ui'
import type { ComponentProps, ReactNode } from 'react'
import { cn } from '@/lib/cn'

type MenuProps = { trigger: ReactNode; align?: 'start' | 'end'; children: ReactNode }

export function Menu({ trigger, align = 'end', children }: MenuProps) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align={align}
          sideOffset={6}
          collisionPadding={8}
          className="z-30 min-w-48 animate-in rounded-lg border border-input bg-raised p-1 shadow-xl shadow-shadow/60"
        >
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  )
}

type ItemProps = ComponentProps<typeof DropdownMenu.Item> & { danger?: boolean }

export function MenuItem({ danger, className, ...props }: ItemProps) {
  return (
    <DropdownMenu.Item
      className={cn(
        'flex h-9 cursor-pointer items-center gap-2.5 rounded-md px-2.5 text-sm outline-none select-none data-highlighted:bg-hover [&_svg]:size-4 [&_svg]:text-muted',
        danger && 'text-destructive [&_svg]:text-destructive',
        className,
      )}
      {...props}
    />
  )
}

export function MenuSeparator() {
  return <DropdownMenu.Separator className="my-1 h-px bg-border" />
}

export const MenuLabel = DropdownMenu.Label
