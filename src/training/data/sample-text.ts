/**
 * Texts of data sets, which strangers wrote: captions in UTF-8 or, with a byte order mark, UTF-16, and JSON as Python writes it, with
 * byte order marks, `NaN` and `Infinity` (which RFC 8259 does not have).
 */

/** Bytes of a caption that are read; text encoders take 77 tokens. */
export const captionBytes = 2 ** 20;

/** Characters of a caption that are used. */
export const captionCharacters = 2 ** 14;

/** Levels of JSON that are read: deeper values overflow the stack when they are written again. */
const deepest = 100;

/** Nesting depth of objects and lists in a JSON text, ignoring brackets in strings. */
function depthOf(text: string): number {
  let depth = 0;
  let most = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '\\') i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === '{' || c === '[') most = Math.max(most, ++depth);
    else if (c === '}' || c === ']') depth--;
  }
  return most;
}

/** Python's numbers that JSON lacks, outside of texts. */
const pythonNumbers = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/gs;

/**
 * The object that a JSON text holds, numbers that are not finite as null; or, as a text, what is wrong: `is not JSON`, `is not a JSON
 * object`, `is nested too deeply`.
 */
export function parseObject(json: string): Readonly<Record<string, unknown>> | string {
  const text = json.replace(/^\ufeff/, '');
  if (depthOf(text) > deepest) return `is nested too deeply (more than ${deepest} levels)`;
  const value = parsed(text) ?? parsed(text.replace(pythonNumbers, (word) => (word.startsWith('"') ? word : 'null')));
  if (value === undefined) return 'is not JSON';
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : 'is not a JSON object';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
