/** How much of a command's output a page keeps: the end of it. */
const kept = 64 * 1024

// Control sequences (CSI), those with a text (OSC and the like), and two-character ones.
const sequences =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g
/** Marks that turn the direction of text, with which output could be shown other than it is. */
const directions = /[\u202a-\u202e\u2066-\u2069]/g

/** Adds output to what came before, of which the end is kept. */
export function appendOutput(before: string, text: string): string {
  return (before + text).slice(-kept)
}

/** What a terminal printed, as lines of text: no colours, and of lines that were written over the last state. */
export function plainOutput(text: string): string {
  return text
    .replace(sequences, '')
    .replace(/\r+\n/g, '\n')
    .replace(/[^\n]*\r/g, '')
    .replace(controls, '')
    .replace(directions, '')
}
