/** A1111's styles: named texts for prompts, in a CSV file (`modules/styles.py`, v1.10.1). */

import { readTextOf } from '../files/open-node.ts';

export interface PromptStyle {
  readonly name: string;
  readonly prompt: string;
  readonly negativePrompt: string;
}

/** Styles and characters of one that are kept: the file is the operator's, and read at the start. */
const most = { styles: 10_000, characters: 100_000 };

/** The rows of a CSV text: fields in quotes may hold commas, line breaks and doubled quotes. */
function rowsOf(text: string): string[][] {
  const rows: string[][] = [];
  let [row, field, quoted]: [string[], string, boolean] = [[], '', false];
  const endField = (): void => {
    row.push(field);
    field = '';
  };
  const endRow = (): void => {
    endField();
    if (row.length > 1 || row[0] !== '') rows.push(row);
    row = [];
  };
  for (let i = 0; i < text.length; i++) {
    const letter = text.charAt(i);
    if (quoted) {
      if (letter !== '"') field += letter;
      else if (text.charAt(i + 1) === '"') field += text.charAt(++i);
      else quoted = false;
    } else if (letter === '"' && field === '') quoted = true;
    else if (letter === ',') endField();
    else if (letter === '\n') endRow();
    else if (letter !== '\r') field += letter;
  }
  endRow();
  return rows;
}

/** The styles in a CSV text with the columns `name`, `prompt` (once `text`) and `negative_prompt`. The last of one name counts. */
export function parseStyles(text: string): readonly PromptStyle[] {
  const [head = [], ...rows] = rowsOf(text.replace(/^\uFEFF/, ''));
  const column = (...names: readonly string[]): number => head.findIndex((title) => names.includes(title.trim()));
  const [name, prompt, negative] = [column('name'), column('prompt', 'text'), column('negative_prompt')];
  const cell = (row: readonly string[], at: number): string => (row[at] ?? '').slice(0, most.characters);
  const styles = rows.slice(0, most.styles).flatMap((row): [string, PromptStyle][] => {
    const own = cell(row, name);
    if (own === '') return [];
    return [[own, { name: own, prompt: cell(row, prompt), negativePrompt: cell(row, negative) }]];
  });
  return [...new Map(styles).values()];
}

/** Throws `file-not-found`, `file-access`, `too-large`. None of no file. */
export async function readStyles(path: string | undefined): Promise<readonly PromptStyle[]> {
  return path === undefined ? [] : parseStyles(await readTextOf('note', path));
}

/** A prompt with the texts of styles: in the place of `{prompt}`, else behind it. */
export function styled(prompt: string, texts: readonly string[]): string {
  return texts.reduce((all, text) => {
    if (text.includes('{prompt}')) return text.replaceAll('{prompt}', () => all);
    return [all.trim(), text.trim()].filter(Boolean).join(', ');
  }, prompt);
}
