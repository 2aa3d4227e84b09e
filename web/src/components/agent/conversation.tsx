import { useChat } from '@ai-sdk/react'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { ArrowDown, Hourglass } from 'lucide-react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import {
  type AgentMessage,
  type Chat,
  changesQuery,
  chatsQuery,
  type Models,
  type Queued,
  usageQuery,
  useChangeMode,
  useQueueMessage,
  useStopRun,
} from '@/api/agent'
import type { Problem } from '@/api/problem'
import type { Workspace } from '@/api/types'
import { recallChoice, rememberChat, rememberChoice } from '@/lib/agent-view'
import { grantsOf, isAnswered, pendingOf } from '@/lib/approvals'
import { chatProblem } from '@/lib/chat-problem'
import { leftText, settingsOf } from '@/lib/choices'
import { dollars } from '@/lib/money'
import { questionOf, stepTitle, type ToolPart, todosOf } from '@/lib/steps'
import { ProblemNotice } from '../problem-notice'
import { Button } from '../ui/button'
import { Notice } from '../ui/notice'
import { Composer, type Settings } from './composer'
import { LiveOutput, LiveOutputContext } from './live-output'
import { type Answers, Message } from './message'
import { NotConfigured } from './not-configured'
import { TodoList } from './todo-list'
import { goOn, makeTransport } from './transport'
import { useSticky } from './use-sticky'

/** What was written and not sent, by chat, so that closing the panel loses nothing. */
const drafts = new Map<string, string>()

/** How often a lost connection is tried again. */
const tries = 6
/** Letters of a reason for a denial; the server takes 2 KiB. */
const longestReason = 500

type Props = {
  workspace: Workspace
  id: string
  /** Its record; undefined for a chat that begins. */
  chat: Chat | undefined
  history: AgentMessage[]
  models: Models
  focus: boolean
  /** Reads the chat anew, as the server has it. */
  onReload: () => void
}

export function Conversation({ workspace, id, chat, history, models, focus, onReload }: Props) {
  const client = useQueryClient()
  const [settings, setSettings] = useState<Settings>(() => settingsOf(chat, recallChoice(), models))
  const [status, setStatus] = useState<{ text: string; parts: number }>()
  const [queued, setQueued] = useState<Queued[]>(chat?.queued ?? [])
  const [interrupted, setInterrupted] = useState(chat?.state === 'interrupted')
  const [refusal, setRefusal] = useState<Problem>()
  const [retrying, setRetrying] = useState(false)
  const [draftVersion, setDraftVersion] = useState(0)
  const [output] = useState(() => new LiveOutput())
  const box = useRef<HTMLTextAreaElement>(null)
  const sent = useRef<string>(undefined)
  const attempt = useRef(0)
  const next = useRef(false)
  const stopping = useRef(false)
  const retry = useRef<ReturnType<typeof setTimeout>>(undefined)
  const latest = useRef<object>({})
  useEffect(() => {
    latest.current = { workspace: workspace.id, ...settings }
  }, [workspace.id, settings])
  useEffect(() => () => clearTimeout(retry.current), [])

  const runs = chat?.state === 'running'
  const keepDraft = (text: string) => {
    drafts.set(id, text)
    setDraftVersion((version) => version + 1)
  }
  const restoreDraft = () => {
    if (sent.current !== undefined) keepDraft(sent.current)
    sent.current = undefined
  }
  const transport = useMemo(
    () =>
      makeTransport({
        settings: () => latest.current,
        onIdle: () => {
          // The run ended while nobody read it. Or another server of the installation has it.
          if (attempt.current > 0) onReload()
          else if (runs) retry.current = setTimeout(onReload, 3000)
        },
      }),
    [onReload, runs],
  )
  const follow = (delay: number) => {
    clearTimeout(retry.current)
    if (attempt.current >= tries) return setRetrying(false)
    attempt.current++
    setRetrying(true)
    retry.current = setTimeout(() => {
      output.clear()
      void chatHelpers.resumeStream()
    }, delay)
  }

  const chatHelpers = useChat<AgentMessage>({
    id,
    messages: history,
    transport,
    resume: chat !== undefined,
    throttle: 50,
    sendAutomaticallyWhen: ({ messages }) => isAnswered(messages),
    onData: ({ type, data }) => {
      if (type === 'data-terminal') output.add(data.callId, data.text)
      else if (type === 'data-queue') {
        setQueued(data.queued ?? [])
        next.current = data.next === true
      } else if (type === 'data-status') setStatus({ text: data.text, parts: partsOf(messagesRef.current) })
    },
    onError: (failure) => {
      const { lost, refused, problem } = chatProblem(failure)
      if (lost) return follow(Math.min(1000 * 2 ** attempt.current, 10_000))
      if (!refused) return
      // What was not taken goes back to where it was written.
      if (messagesRef.current.at(-1)?.role === 'user' && sent.current !== undefined) {
        chatHelpers.setMessages((list) => list.slice(0, -1))
        restoreDraft()
      }
      setRefusal(problem)
      // After this, the chat is told of the error.
      queueMicrotask(chatHelpers.clearError)
    },
    onFinish: ({ isAbort, isDisconnect, isError, finishReason }) => {
      sent.current = undefined
      setStatus(undefined)
      for (const { queryKey } of [chatsQuery(workspace.id), changesQuery(id), usageQuery(workspace.id)])
        void client.invalidateQueries({ queryKey })
      if (isAbort || isDisconnect || isError) return
      if (finishReason === 'interrupted') return setInterrupted(true)
      if (stopping.current) {
        stopping.current = false
        return
      }
      // A stream that ends without a reason was cut: the server's settings were reloaded, say.
      if (finishReason === undefined) return follow(300)
      attempt.current = 0
      setRetrying(false)
      // The next turn begins with a message that was queued, which only the server has.
      if (next.current) onReload()
    },
  })
  const { messages, error, sendMessage, regenerate, addToolApprovalResponse, addToolOutput } = chatHelpers
  const messagesRef = useRef(messages)
  useEffect(() => {
    messagesRef.current = messages
  }, [messages])
  const working = chatHelpers.status === 'submitted' || chatHelpers.status === 'streaming'
  useEffect(() => {
    if (chatHelpers.status !== 'streaming') return
    sent.current = undefined
    attempt.current = 0
    setRetrying(false)
  }, [chatHelpers.status])

  const scroll = useSticky()
  const { stick, box: conversation } = scroll
  const stop = useStopRun(id)
  const queue = useQueueMessage(id)
  const changeMode = useChangeMode(workspace.id, id)
  const { approvals, questions } = pendingOf(messages)
  const waiting = working ? 0 : approvals.length + questions.length
  const exists = chat !== undefined || (messages.length > 0 && !working)
  // Looking at changes would wake the workspace.
  const changes = useQuery({ ...changesQuery(id), enabled: exists && workspace.state === 'running' })
  const usage = useQuery(usageQuery(workspace.id))
  const todos = useMemo(() => todosOf(messages), [messages])
  const cost = messages.reduce((sum, { metadata }) => sum + (metadata?.cost ?? 0), 0)
  const usable = models.configured || models.ownKey
  const left = usable && leftText(usage.data?.person, usage.data?.workspace)

  const begin = () => {
    attempt.current = 0
    setInterrupted(false)
    setRefusal(undefined)
    stop.reset()
    queue.reset()
  }
  const send = (text: string) => {
    begin()
    stick()
    rememberChat(workspace.id, id)
    const [question] = questions
    if (working)
      return queue.mutate(text, {
        onSuccess: (made) =>
          setQueued((list) =>
            list.some((one) => one.id === made.id) ? list : [...list, { id: made.id, text }],
          ),
        onError: () => keepDraft(text),
      })
    if (question) return answers.answer(question, text)
    if (approvals.length > 0) {
      // Whoever says something else than yes wants something else.
      for (const part of approvals)
        answers.approve(part, { approved: false, reason: text.slice(0, longestReason) })
      if (text.length > longestReason) keepDraft(text)
      return
    }
    sent.current = text
    void sendMessage({ text })
  }
  const proceed = () => {
    begin()
    void sendMessage(undefined, { body: goOn })
  }
  const again = () => {
    begin()
    void regenerate()
  }

  const waitingCalls = useQuery(chatsQuery(workspace.id)).data?.find((one) => one.id === id)?.waiting
  // What was answered goes, and with it the button that had the focus.
  const moveOn = useCallback(() => {
    const { approvals, questions } = pendingOf(messagesRef.current)
    if (approvals.length + questions.length <= 1) stick()
    requestAnimationFrame(() => {
      if (document.activeElement !== document.body) return
      const card = conversation.current?.querySelector<HTMLElement>('[data-waits]')
      ;(card ?? conversation.current)?.focus({ preventScroll: card === null })
    })
  }, [conversation, stick])
  const answers = useMemo<Answers>(
    () => ({
      grants: (part) => grantsOf(part, waitingCalls),
      approve: (part, { approved, reason }) => {
        if (part.state !== 'approval-requested') return
        const { id } = part.approval
        moveOn()
        void addToolApprovalResponse({ id, approved, ...(reason !== undefined && { reason }) })
      },
      answer: (part, text) => {
        moveOn()
        void addToolOutput({ tool: 'ask', toolCallId: part.toolCallId, output: text })
      },
    }),
    [addToolApprovalResponse, addToolOutput, waitingCalls, moveOn],
  )
  const changeSettings = (next: Settings) => {
    setSettings(next)
    if (exists && next.mode !== settings.mode) changeMode.mutate(next.mode)
    rememberChoice({ model: next.model, mode: next.mode })
  }

  useEffect(() => {
    if (focus || draftVersion > 0) box.current?.focus()
  }, [focus, draftVersion])

  const failure = error && !retrying ? chatProblem(error) : undefined
  const last = messages.at(-1)
  const lastId = last?.id
  const statusText = status && status.parts === partsOf(messages) ? status.text : undefined

  return (
    <LiveOutputContext value={output}>
      <div className="relative flex min-h-0 flex-1 flex-col">
        <section
          ref={conversation}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled with the keyboard too
          tabIndex={0}
          aria-label="Conversation"
          onScroll={scroll.onScroll}
          className="min-h-0 flex-1 overflow-y-auto px-3 py-4 -outline-offset-2"
        >
          <div ref={scroll.content} className="mx-auto grid w-full max-w-3xl grid-cols-1 gap-4">
            {messages.length === 0 && (
              <Welcome name={workspace.name} asleep={workspace.state !== 'running'} />
            )}
            {messages.map((message, index) => (
              <Message
                key={message.id}
                message={message}
                chat={id}
                live={working && message.id === lastId}
                last={message.id === lastId}
                models={models.models}
                turn={changes.data?.find(
                  ({ messageId }) =>
                    message.role === 'assistant' &&
                    (messageId === message.id || messageId === messages[index - 1]?.id),
                )}
                answers={answers}
              />
            ))}
            {working && <Working text={statusText ?? (retrying ? 'Reconnecting …' : 'Working …')} />}
            {retrying && !working && <Working text="The connection was lost. Reconnecting …" />}
            {interrupted && !working && (
              <Notice
                tone="info"
                title="The agent was interrupted"
                action={
                  <Button size="sm" onClick={proceed}>
                    Continue
                  </Button>
                }
              >
                The server was restarted while it worked. What it did until then is kept.
              </Notice>
            )}
            {failure && !interrupted && (
              <ProblemNotice
                error={failure.problem}
                title={failure.lost ? undefined : 'The agent could not go on'}
                action={
                  <Button
                    size="sm"
                    onClick={failure.lost ? onReload : last?.role === 'assistant' ? proceed : again}
                  >
                    {failure.lost || last?.role !== 'assistant' ? 'Try again' : 'Continue'}
                  </Button>
                }
              />
            )}
            {refusal && (
              <ProblemNotice
                error={refusal}
                title="It was not sent"
                action={
                  <Button size="sm" onClick={onReload}>
                    Read the chat anew
                  </Button>
                }
              />
            )}
            {stop.error && working && <ProblemNotice error={stop.error} title="It was not stopped" />}
            {queue.error && <ProblemNotice error={queue.error} title="It was not sent" />}
          </div>
        </section>
        {!scroll.stuck && (
          <Button
            size="icon"
            aria-label="To the newest"
            title="To the newest"
            className="absolute right-3 bottom-2 z-10 rounded-full shadow-lg shadow-shadow/40"
            onClick={stick}
          >
            <ArrowDown aria-hidden />
          </Button>
        )}
      </div>
      <div className="grid shrink-0 gap-2 border-t px-3 pt-2.5 pb-3">
        <div className="mx-auto grid w-full max-w-3xl grid-cols-1 gap-2">
          {(working || todos.some(({ state }) => state !== 'done')) && todos.length > 0 && (
            <TodoList todos={todos} />
          )}
          {waiting > 0 && (
            <Waiting
              approvals={approvals}
              total={waiting}
              onAll={(approved) => {
                for (const part of approvals) answers.approve(part, { approved })
              }}
            />
          )}
          {queued.length > 0 && <QueueList queued={queued} />}
          {usable ? (
            <Composer
              key={draftVersion}
              ref={box}
              draft={drafts.get(id) ?? ''}
              onDraft={(text) => void drafts.set(id, text)}
              placeholder={placeholder(working, questions.length, approvals.length)}
              models={models.models}
              settings={settings}
              onSettings={changeSettings}
              working={working}
              stopping={stop.isPending || stop.isSuccess}
              onSend={send}
              onStop={() => {
                stopping.current = true
                box.current?.focus()
                stop.mutate(undefined, {
                  onError: () => {
                    stopping.current = false
                  },
                })
              }}
            />
          ) : (
            <NotConfigured ownKeys={models.ownKeys} />
          )}
          {(cost > 0 || left) && (
            <p className="flex flex-wrap justify-between gap-x-3 text-xs text-muted">
              <span>{cost > 0 && `This chat: ${dollars(cost)}`}</span>
              <span>{left}</span>
            </p>
          )}
        </div>
      </div>
      <Announcer working={working} approvals={approvals} questions={questions} />
    </LiveOutputContext>
  )
}

const partsOf = (messages: AgentMessage[]) => messages.at(-1)?.parts.length ?? 0

function placeholder(working: boolean, questions: number, approvals: number): string {
  if (working) return 'Say more; it reads it at its next step'
  if (questions > 0) return 'Answer the question'
  if (approvals > 0) return 'Say what to do instead'
  return 'What is to be done?'
}

function Welcome({ name, asleep }: { name: string; asleep: boolean }) {
  return (
    <div className="grid gap-1.5 py-6 text-center text-balance text-soft">
      <p className="font-medium text-foreground">An engineer in the files of {name}</p>
      <p className="text-[0.8125rem]">
        It reads, edits, runs commands and tests in this workspace, and asks before it changes something. It
        works on when you close this page.
      </p>
      {asleep && <p className="text-[0.8125rem] text-muted">The workspace sleeps; the agent wakes it.</p>}
    </div>
  )
}

function Working({ text }: { text: string }) {
  return (
    <p className="flex items-center gap-2 text-[0.8125rem] text-muted">
      <span aria-hidden className="size-2 animate-breathe rounded-full bg-info" />
      {text}
    </p>
  )
}

type WaitingProps = { approvals: ToolPart[]; total: number; onAll: (approved: boolean) => void }

/** Says that the agent waits, leads there, and answers many at once. */
function Waiting({ approvals, total, onAll }: WaitingProps) {
  const show = () => {
    const card = document.querySelector<HTMLElement>('[data-waits]')
    card?.scrollIntoView({ block: 'center' })
    card?.focus()
  }
  return (
    <div className="flex flex-wrap items-center gap-2 rounded-lg border border-warning/40 bg-warning/8 py-1 pr-1 pl-3 text-[0.8125rem]">
      <p className="min-w-0 flex-1">
        The agent waits for {total === 1 ? 'your answer' : `${total} answers`}.
      </p>
      <Button size="sm" variant="ghost" onClick={show}>
        Show
      </Button>
      {approvals.length > 1 && (
        <>
          <Button size="sm" variant="ghost" onClick={() => onAll(false)}>
            Deny all
          </Button>
          <Button size="sm" onClick={() => onAll(true)}>
            Allow all once
          </Button>
        </>
      )}
    </div>
  )
}

function QueueList({ queued }: { queued: Queued[] }) {
  return (
    <ul aria-label="To be read at its next step" className="grid gap-1">
      {queued.map(({ id, text }) => (
        <li
          key={id}
          className="flex min-h-8 items-center gap-2 rounded-lg border border-dashed px-3 text-[0.8125rem]"
        >
          <Hourglass aria-hidden className="size-3.5 shrink-0 text-muted" />
          <span className="min-w-0 flex-1 truncate text-soft">{text}</span>
        </li>
      ))}
    </ul>
  )
}

type AnnouncerProps = { working: boolean; approvals: ToolPart[]; questions: ToolPart[] }

/** Says aloud where the agent is: that it works, that it asks, that it is done. Not what it writes, word by word. */
function Announcer({ working, approvals, questions }: AnnouncerProps) {
  const [text, setText] = useState('')
  const was = useRef(working)
  const asked = [
    ...approvals.map((part) => `${stepTitle(part, 'asking')}?`),
    ...questions.map((part) => questionOf(part).text),
  ].join(' ')
  const say = useCallback((next: string) => setText(next), [])
  useEffect(() => {
    if (was.current === working) return
    was.current = working
    if (working) say('The agent is at work.')
    else say(asked ? `The agent asks: ${asked}` : 'The agent is done.')
  }, [working, asked, say])
  return (
    <div aria-live="polite" className="sr-only">
      {text}
    </div>
  )
}
