/** Lines that a program printed. */
export function Log({ label, text }: { label: string; text: string }) {
  return (
    <section
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a log is scrolled with the keyboard too
      tabIndex={0}
      aria-label={label}
      className="max-h-40 overflow-auto rounded-md bg-background p-2.5 font-mono text-xs break-words whitespace-pre-wrap text-soft"
    >
      {text}
    </section>
  )
}
