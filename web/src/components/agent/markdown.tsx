import { type ComponentProps, createElement, isValidElement, memo, type ReactNode } from 'react'
import { type Components, defaultRehypePlugins, Streamdown, type StreamdownProps } from 'streamdown'
import { webLink } from '@/lib/web-link'
import { CopyButton } from '../ui/copy'

/**
 * Markdown of a model, which is not to be trusted: HTML in it is text, images are links, and only addresses of the
 * web can be followed. Nothing is loaded by showing it.
 */
export const Markdown = memo(function Markdown({ text, streaming }: { text: string; streaming: boolean }) {
  return (
    <Streamdown
      mode={streaming ? 'streaming' : 'static'}
      className="markdown"
      components={components}
      rehypePlugins={plugins}
      controls={false}
      linkSafety={noModal}
    >
      {text}
    </Streamdown>
  )
})

const noModal = { enabled: false }

type Node = { type: string; value?: string; children?: Node[] }

/** HTML stands there as it was written: "Vec<String>" is no element that is missing. */
function htmlAsText() {
  const walk = (node: Node) => {
    for (const child of node.children ?? []) {
      if (child.type === 'raw') child.type = 'text'
      walk(child)
    }
  }
  return walk
}

const plugins = [htmlAsText, defaultRehypePlugins.sanitize].filter(
  (plugin) => plugin !== undefined,
) as StreamdownProps['rehypePlugins']

function Anchor({ href, children }: ComponentProps<'a'>) {
  const address = webLink(href)
  if (!address) return <span>{children}</span>
  return (
    <a href={address} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  )
}

/** An image is an address that something is sent to by looking at it, so it is a link. */
function Image({ src, alt }: ComponentProps<'img'>) {
  return (
    <Anchor href={typeof src === 'string' ? src : undefined}>{`Image: ${alt || 'without a name'}`}</Anchor>
  )
}

function Pre({ children }: { children?: ReactNode }) {
  const text = plainText(children).replace(/\n$/, '')
  const language = isValidElement<{ className?: string }>(children)
    ? /language-([\w+#.-]+)/.exec(children.props.className ?? '')?.[1]
    : undefined
  return <CodeBlock text={text} language={language} />
}

export function CodeBlock({ text, language }: { text: string; language?: string }) {
  return (
    <div className="code-block">
      <div className="flex h-8 items-center justify-between gap-2 border-b pr-0.5 pl-3 text-xs text-muted">
        <span className="truncate font-mono">{language}</span>
        <CopyButton text={text} label="Copy the code" />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: code that is wider than its box is scrolled with the keyboard too */}
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
    </div>
  )
}

function plainText(node: ReactNode): string {
  if (typeof node === 'string' || typeof node === 'number') return String(node)
  if (Array.isArray(node)) return node.map(plainText).join('')
  return isValidElement<{ children?: ReactNode }>(node) ? plainText(node.props.children) : ''
}

function Table({ children }: { children?: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a table that is wider than its box is scrolled with the keyboard too
    <section className="table-box" tabIndex={0} aria-label="Table">
      <table>{children}</table>
    </section>
  )
}

/** An element as it is, without the classes that Streamdown gives it: index.css says how it looks. */
function plain(tag: string) {
  return ({ children, start, align }: { children?: ReactNode; start?: number; align?: string }) =>
    createElement(
      tag,
      { ...(start !== undefined && { start }), ...(align && { style: { textAlign: align } }) },
      children,
    )
}

const plainTags = 'h1 h2 h3 h4 h5 h6 p ul ol li strong blockquote thead tbody tr th td sub sup code'.split(
  ' ',
)

const components = {
  ...Object.fromEntries(plainTags.map((tag) => [tag, plain(tag)])),
  // A heading in an answer is none of the page's.
  ...Object.fromEntries(['h1', 'h2', 'h3', 'h4', 'h5', 'h6'].map((tag) => [tag, plain('h4')])),
  hr: () => <hr />,
  a: Anchor,
  img: Image,
  pre: Pre,
  table: Table,
} as Components
