/** The bytes of a text of ASCII letters. */
export const ascii = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
