/** Counts the values of a JSON text on its bytes, before parsing: commas and openings outside of strings. */

export const quote = 0x22;
const [backslash, comma, list, object] = [0x5c, 0x2c, 0x5b, 0x7b] as const;

/** True if there are more than `most` values. Linear time; long strings are skipped at memory speed. */
export function hasMoreValues(json: Buffer, most: number): boolean {
  let values = 1;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === quote) at = endOfString(json, at);
    else if ((byte === comma || byte === list || byte === object) && ++values > most) return true;
  }
  return false;
}

/** The end of the string at `start`: its closing quote, or the end of the text. */
export function endOfString(json: Buffer, start: number): number {
  for (let at = json.indexOf(quote, start + 1); at >= 0; at = json.indexOf(quote, at + 1)) {
    // Each run of backslashes is counted once: by the quote after it.
    let slashes = 0;
    while (json[at - 1 - slashes] === backslash && at - 1 - slashes > start) slashes++;
    if (slashes % 2 === 0) return at;
  }
  return json.length;
}
