import { Check, ChevronRight, Circle, CircleDot } from 'lucide-react'
import { cn } from '@/lib/cn'
import type { Todo } from '@/lib/steps'

const icons = { pending: Circle, doing: CircleDot, done: Check }
const words = { pending: 'to do', doing: 'under way', done: 'done' }

/** What the agent has set itself to do. */
export function TodoList({ todos }: { todos: Todo[] }) {
  const done = todos.filter(({ state }) => state === 'done').length
  const now = todos.find(({ state }) => state === 'doing') ?? todos.find(({ state }) => state === 'pending')
  return (
    <details className="group/todo rounded-lg border bg-card text-[0.8125rem]">
      <summary className="flex min-h-8 cursor-pointer list-none items-center gap-2 rounded-lg px-3 py-1 -outline-offset-2 hover:bg-hover [&::-webkit-details-marker]:hidden">
        <span className="shrink-0 text-muted">
          <span className="sr-only">To-do list: </span>
          {done} of {todos.length} done
        </span>
        <span className="min-w-0 flex-1 truncate">{now?.text}</span>
        <ChevronRight
          aria-hidden
          className="size-3.5 shrink-0 text-muted transition-transform group-open/todo:rotate-90"
        />
      </summary>
      <ul className="grid max-h-48 gap-1 overflow-y-auto border-t px-3 py-2">
        {todos.map(({ text, state }, index) => {
          const Icon = icons[state]
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: two may be called the same
            <li key={index} className="flex items-start gap-2">
              <Icon
                aria-hidden
                className={cn(
                  'mt-0.5 size-3.5 shrink-0',
                  state === 'pending' ? 'text-muted' : 'text-primary',
                )}
              />
              <span className={cn('min-w-0 break-words', state === 'done' && 'text-muted line-through')}>
                {text}
              </span>
              <span className="sr-only">, {words[state]}</span>
            </li>
          )
        })}
      </ul>
    </details>
  )
}
