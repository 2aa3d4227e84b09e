// Controls but for tab and line feed, marks that turn the direction of text, and what has no width. Those that join
// the characters of emoji and of some scripts are left.
const hidden =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is shown
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/gu

/** A text as it is, with what could make it look like another one spelt out: it is what a person allows. */
export const visible = (text: string): string =>
  text.replace(hidden, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
