/** Words of a line as a POSIX shell splits them (Python's `shlex.split`): quotes and backslashes. */

/** Undefined for a line whose quotes are not closed. */
export function shellWords(line: string): string[] | undefined {
  const words: string[] = [];
  let [word, isWord, quote] = ['', false, ''];
  for (let i = 0; i < line.length; i++) {
    const character = line[i] as string;
    const next = line[i + 1];
    if (quote === "'" && character !== "'") word += character;
    else if (quote === '"' && character === '\\' && (next === '"' || next === '\\')) word += line[++i];
    else if (quote !== '' && character === quote) quote = '';
    else if (quote !== '') word += character;
    else if (character === '"' || character === "'") [quote, isWord] = [character, true];
    else if (character === '\\' && next !== undefined) {
      word += line[++i];
      isWord = true;
    } else if (/\s/.test(character)) {
      if (isWord || word !== '') words.push(word);
      [word, isWord] = ['', false];
    } else word += character;
  }
  if (quote !== '') return undefined;
  if (isWord || word !== '') words.push(word);
  return words;
}
