import { cva, type VariantProps } from 'class-variance-authority'
import { Slot } from 'radix-ui'
import type { ComponentProps } from 'react'
import { cn } from '@/lib/cn'

const button = cva(
  'inline-flex shrink-0 items-center justify-center gap-1.5 rounded-md font-medium whitespace-nowrap transition-colors disabled:opacity-50 [&_svg]:size-4 [&_svg]:shrink-0',
  {
    variants: {
      variant: {
        primary: 'bg-primary text-primary-foreground enabled:hover:bg-primary/85 [a&]:hover:bg-primary/85',
        outline:
          'border border-input bg-card text-foreground enabled:hover:bg-hover [a&]:hover:bg-hover enabled:hover:border-muted/50 [a&]:hover:border-muted/50',
        ghost:
          'text-soft enabled:hover:bg-hover enabled:hover:text-foreground [a&]:hover:bg-hover [a&]:hover:text-foreground',
        destructive: 'bg-destructive text-destructive-foreground enabled:hover:bg-destructive/85',
      },
      size: {
        sm: 'h-8 px-2.5 text-[0.8125rem]',
        md: 'h-9 px-3.5 text-sm',
        lg: 'h-11 px-5 text-[0.9375rem]',
        icon: 'size-8',
      },
    },
    defaultVariants: { variant: 'outline', size: 'md' },
  },
)

type Props = ComponentProps<'button'> & VariantProps<typeof button> & { asChild?: boolean }

export function Button({ className, variant, size, asChild, type = 'button', ...props }: Props) {
  if (asChild) return <Slot.Root className={cn(button({ variant, size }), className)} {...props} />
  return <button type={type} className={cn(button({ variant, size }), className)} {...props} />
}
