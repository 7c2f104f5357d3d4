/** The prompts of a run: arguments, `--prompt`, or a file with one prompt per line. */

import type { CliContext } from './command.ts';
import type { GenerationValues } from './generation-options.ts';
import { UsageError } from './options.ts';
import { textLines } from './text-lines.ts';

/** Lines of a file of prompts. */
const mostPrompts = 1_000_000;

export interface Prompts {
  /** One prompt for all pictures, or one for each line of a file. Empty if none was given. */
  readonly lines: readonly string[];
  readonly fromFile: boolean;
}

/** Throws `UsageError` if prompts are given in two ways, or if the file has none. */
export async function readPrompts(
  values: Pick<GenerationValues, 'prompt' | 'fromFile'>,
  words: readonly string[],
  context: CliContext,
): Promise<Prompts> {
  const given = [words.length > 0, values.prompt !== undefined, values.fromFile !== undefined].filter(Boolean).length;
  if (given > 1)
    throw new UsageError('The prompt is given more than once. Use only one of arguments, --prompt and --from-file.');
  if (values.fromFile !== undefined) {
    const lines: string[] = [];
    for await (const line of textLines(values.fromFile, context.input)) {
      lines.push(line);
      if (lines.length > mostPrompts)
        throw new UsageError(`--from-file ${values.fromFile} has more than ${mostPrompts} lines. Divide it.`);
    }
    if (lines.length === 0)
      throw new UsageError(`--from-file ${values.fromFile} has no prompts. Write one prompt per line.`);
    return { lines, fromFile: true };
  }
  const prompt = values.prompt ?? (words.length > 0 ? words.join(' ') : undefined);
  return { lines: prompt === undefined ? [] : [prompt], fromFile: false };
}
