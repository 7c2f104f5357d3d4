/** Numbers as Python's `float` reads them: with the decimal digits of any script (`１.３`, `٣`), as A1111's prompts may have them. */

const digit = /\p{Nd}/u;

/** The value of a decimal digit of any script. Unicode keeps each script's ten digits together, in order. */
function digitValue(character: string): number {
  const point = character.codePointAt(0) ?? 0;
  let first = point;
  // The mathematical digits are five sets in a row: the longest run there is.
  while (point - first < 50 && digit.test(String.fromCodePoint(first - 1))) first--;
  return (point - first) % 10;
}

const plain = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;

/** `float(text)`: white space around it and digits of all scripts are allowed. NaN for what is no finite number. */
export function pythonFloat(text: string): number {
  const ascii = text.trim().replace(/\p{Nd}/gu, (character) => String(digitValue(character)));
  return plain.test(ascii) ? Number(ascii) : Number.NaN;
}
